//go:build linux

package chaos_test

import (
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// shortPlan strikes once with each kind of fault, in this order, within a minute.
func shortPlan(mode string) []step {
	quick := seconds(1, 1)
	if mode == embedded {
		return []step{
			kill("worker"),
			order(fault.Delivered, "kill", "", 15*time.Second),
			order(fault.Claimed, "kill", "", 15*time.Second),
			order(fault.Writing, "kill", "", 15*time.Second),
			order(fault.Publishing, "kill", "", 15*time.Second),
			order(fault.Published, "kill", "", 15*time.Second),
			order(fault.OutcomeLost, "error", "", 15*time.Second),
			order(fault.BeforeOutcome, "kill", "", 15*time.Second),
			order(fault.Finished, "kill", "", 15*time.Second),
			kill("serve"),
			order(fault.BeforeInsert, "kill", "core", 15*time.Second),
			order(fault.Inserted, "kill", "core", 15*time.Second),
			kill("core"),
			order(fault.Enqueued, "kill", "core", 15*time.Second),
			order(fault.BeforeAnswer, "kill", "core", 15*time.Second),
			order(fault.Claimed, "stop", "", 15*time.Second),
			order(fault.Leading, "kill", "core", 20*time.Second),
			fillDisk(seconds(2, 2)),
			killCollector("serve", "core"),
		}
	}
	return []step{
		kill("worker"),
		kill("worker1"),
		order(fault.BeforeInsert, "kill", "", 15*time.Second),
		order(fault.Inserted, "kill", "", 15*time.Second),
		order(fault.Enqueued, "kill", "", 15*time.Second),
		order(fault.BeforeAnswer, "kill", "", 15*time.Second),
		order(fault.Delivered, "kill", "", 15*time.Second),
		order(fault.Claimed, "kill", "", 15*time.Second),
		order(fault.Writing, "kill", "", 15*time.Second),
		order(fault.Publishing, "kill", "", 15*time.Second),
		order(fault.Published, "kill", "", 15*time.Second),
		order(fault.OutcomeLost, "error", "", 15*time.Second),
		order(fault.BeforeOutcome, "kill", "", 15*time.Second),
		order(fault.Finished, "kill", "", 15*time.Second),
		kill("api child"),
		flushAll,
		killRedis(quick),
		cutWay("worker2", quick, "redis"),
		cutWay("api", quick, "postgres"),
		slowWay("worker1", 300, quick, "postgres", "redis"),
		stopPostgres(quick),
		kill("leader"), // the next one collects at once, and is struck
		order(fault.Claimed, "stop", "", 15*time.Second),
		killCollector("leader", ""),
		order(fault.Leading, "kill", "", 15*time.Second),
		fillDisk(quick),
		term("worker1"),
		term("api"),
	}
}

// longPlan is what the long run draws from, each as often as the others.
func longPlan(mode string) []step {
	points := []string{fault.Delivered, fault.Claimed, fault.Writing, fault.Publishing, fault.Published, fault.BeforeOutcome, fault.Finished}
	api := []string{fault.BeforeInsert, fault.Inserted, fault.Enqueued, fault.BeforeAnswer}
	while, freezing := seconds(1, 5), seconds(15, 20)
	core, leader := "", "leader"
	if mode == embedded {
		core, leader = "core", "serve"
	}
	var plan []step
	for _, p := range points {
		plan = append(plan, order(p, "kill", "", 10*time.Second))
	}
	for _, p := range api {
		plan = append(plan, order(p, "kill", core, 10*time.Second))
	}
	plan = append(plan, order(fault.OutcomeLost, "error", "", 10*time.Second), order(fault.Claimed, "stop", "", 10*time.Second), order(fault.Claimed, "stop", "", 10*time.Second),
		order(fault.Leading, "kill", core, 20*time.Second), killCollector(leader, core),
		kill("worker"), kill("worker"), freeze("worker", lost, freezing), fillDisk(while))
	if mode == embedded {
		return append(plan, kill("core"), kill("core"), kill("serve"), kill("serve"), freeze("core", frozen, freezing), freeze("serve", drained, freezing), term("serve"))
	}
	for _, unit := range []string{"worker1", "worker2", "api", "scheduler1"} {
		plan = append(plan, kill(unit), term(unit))
	}
	for _, unit := range []string{"api", "worker1", "worker2"} {
		plan = append(plan, cutWay(unit, while, "redis"), cutWay(unit, while, "postgres"), slowWay(unit, 500, while, "redis", "postgres"))
	}
	return append(plan, kill("api child"), kill("leader"), kill("stand-by"),
		freeze("leader", lost, freezing), freeze("api child", lost, freezing), freeze("api", drained, freezing), freeze("worker1", drained, freezing),
		cutWay("scheduler1", while, "redis", "postgres"), cutWay("scheduler2", while, "redis", "postgres"),
		silentWay("worker1", freezing), flushAll, flushAll, killRedis(while), hangRedis(while), stopPostgres(while))
}
