package supervise

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// supervisor is one call of Run.
type supervisor struct {
	cfg    Config
	groups []*group
	board  *board
	failed chan error // one place for each instance, so that none ever waits to fail
	// starters has one thread for each priority; see starter.
	starters map[int]*starter
}

// group is a child with its instances.
type group struct {
	child     Child
	instances []*instance
	stop      chan struct{} // closed: end, and do not come back
	first     chan struct{} // closed when instance 0 has been ready once
	running   sync.WaitGroup
	wanted    chan struct{} // holds one value while an OnDemand child is wanted
}

func newSupervisor(cfg Config) *supervisor {
	s := &supervisor{cfg: cfg, starters: make(map[int]*starter)}
	total := 0
	for _, child := range cfg.Children {
		g := &group{child: child, stop: make(chan struct{}), first: make(chan struct{}), wanted: make(chan struct{}, 1)}
		for i := range child.Count {
			in := &instance{sup: s, group: g, number: i, seat: total, delay: backoff{max: child.MaxDelay}, replace: make(chan chan struct{})}
			if child.OnDemand {
				in.seat = noSeat
			} else {
				total++
			}
			g.instances = append(g.instances, in)
		}
		s.groups = append(s.groups, g)
		if s.starters[child.Nice] == nil {
			s.starters[child.Nice] = newStarter(child.Nice)
		}
	}
	s.board = newBoard(total)
	s.failed = make(chan error, total)
	return s
}

// want notes that an OnDemand child is wanted.
func (s *supervisor) want(name string) {
	for _, g := range s.groups {
		if g.child.OnDemand && g.child.Name == name {
			select {
			case g.wanted <- struct{}{}:
			default:
			}
		}
	}
}

// release ends the starter threads. The children have ended by then: they would die with the thread that started them.
func (s *supervisor) release() {
	for _, t := range s.starters {
		t.close()
	}
}

func (s *supervisor) run(ctx context.Context) error {
	for _, g := range s.groups {
		for _, in := range g.instances {
			g.running.Go(func() {
				run := in.run
				if g.child.OnDemand {
					run = in.runOnDemand
				}
				if err := run(); err != nil {
					s.failed <- err
				}
			})
		}
	}
	helpers, stopHelpers := context.WithCancel(ctx)
	defer stopHelpers()
	var helping sync.WaitGroup
	helping.Go(func() { s.announce(helpers) })
	helping.Go(func() { s.rollOnDemand(helpers) })

	var err error
	select {
	case <-ctx.Done():
		s.cfg.Log.Info("stopping", "cause", context.Cause(ctx))
	case <-s.cfg.Kill:
	case err = <-s.failed:
	}
	stopHelpers()
	helping.Wait()
	s.stop()

	select {
	case <-s.cfg.Kill:
		if err == nil {
			err = ErrKilled
		}
	default:
	}
	return err
}

// stop ends the groups in reverse order: the last listed depend on the first.
func (s *supervisor) stop() {
	for _, g := range slices.Backward(s.groups) {
		// First, so that the children are the last to hold what is closed here and can see to its end.
		if g.child.OnStop != nil {
			g.child.OnStop()
		}
		close(g.stop)
		g.running.Wait()
	}
}

// announce calls OnReady when all instances are ready for the first time.
func (s *supervisor) announce(ctx context.Context) {
	if s.board.waitAll(ctx) == nil && s.cfg.OnReady != nil {
		s.cfg.OnReady()
	}
}

// rollOnDemand answers Config.Roll until ctx ends.
func (s *supervisor) rollOnDemand(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.cfg.Roll:
			if err := s.roll(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("roll given up", "error", err)
			}
		}
	}
}

// roll replaces all instances, one at a time, in the order of Config.Children. An instance is only taken down while all are ready, so a new version
// that does not come up costs one instance and not the fleet.
func (s *supervisor) roll(ctx context.Context) error {
	s.cfg.Log.Info("rolling the children")
	for _, g := range s.groups {
		for _, in := range g.instances {
			if err := s.settled(ctx); err != nil {
				return fmt.Errorf("before %s %d: %w", g.child.Name, in.number, err)
			}
			if err := in.replaceNow(ctx); err != nil {
				return fmt.Errorf("%s %d: %w", g.child.Name, in.number, err)
			}
		}
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	s.cfg.Log.Info("all children rolled")
	return nil
}

// settled waits for every instance to be ready, RollTimeout at most.
func (s *supervisor) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.RollTimeout, fmt.Errorf("not all children were ready within %s", s.cfg.RollTimeout))
	defer cancel()
	return s.board.waitAll(ctx)
}
