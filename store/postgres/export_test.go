package postgres

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// Pool is for tests that look at the ledger's own sessions.
func (l *Ledger) Pool() *pgxpool.Pool { return l.pool }

// OpenTraced is a ledger on a database whose schema stands, with a tracer of its statements.
func OpenTraced(ctx context.Context, dsn string, tracer pgx.QueryTracer) (*Ledger, error) {
	conf, err := poolConfig(Config{DSN: dsn, MaxConns: 2})
	if err != nil {
		return nil, err
	}
	conf.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	return &Ledger{pool: pool, log: slog.New(slog.DiscardHandler)}, err
}

// Clean and ParseID are what fuzz targets call.
func Clean(s string) string { return clean(s) }

// ParseID returns the id in the database's own spelling.
func ParseID(s string) (string, bool) {
	id, ok := parseID(s)
	return id.String(), ok
}

// MigrationLock is the advisory lock of migrations.
const MigrationLock = migrationLock

// Statements are all that the ledger says to its tables, by the names of the constants. TestStatementsAreListed keeps the list whole.
func Statements() map[string]string {
	all := map[string]string{
		"pingSQL": pingSQL, "noteSettingSQL": noteSettingSQL, "settingSQL": settingSQL, "serverSQL": serverSQL,
		"insertSQL": insertSQL, "insertFullSQL": insertFullSQL, "missingInputsSQL": missingInputsSQL,
		"jobSQL": jobSQL, "cancelSQL": cancelSQL, "retrySQL": retrySQL,
		"removableSQL": removableSQL, "expiredSQL": expiredSQL, "removeJobsSQL": removeJobsSQL, "removeTagsSQL": removeTagsSQL,
		"removeResultsSQL": removeResultsSQL, "removeFilesSQL": removeFilesSQL,
		"createFileSQL": createFileSQL, "fileSQL": fileSQL, "listFilesSQL": listFilesSQL, "deleteFileSQL": deleteFileSQL,
		"expireFilesSQL": expireFilesSQL,
		"takeBlobSQL":    takeBlobSQL, "looseBlobsSQL": looseBlobsSQL, "judgeBlobsSQL": judgeBlobsSQL, "dyingBlobsSQL": dyingBlobsSQL,
		"forgetBlobSQL": forgetBlobSQL, "knowsBlobSQL": knowsBlobSQL, "resultSQL": resultSQL,
		"registerSQL": registerSQL, "leaveSQL": leaveSQL, "workersSQL": workersSQL, "burySQL": burySQL, "burySilentSQL": burySilentSQL,
		"forgetDeadSQL": forgetDeadSQL, "asyncCommitSQL": asyncCommitSQL, "beatSQL": beatSQL, "progressSQL": progressSQL,
		"holdingsSQL": holdingsSQL, "claimSQL": claimSQL, "reclaimSQL": reclaimSQL, "busySQL": busySQL,
		"finishSQL": finishSQL, "finishPlainSQL": finishPlainSQL, "undoneSQL": undoneSQL, "aliveSQL": aliveSQL, "inputFilesSQL": inputFilesSQL,
		"insertInputSQL": insertInputSQL, "insertAlikeSQL": insertAlikeSQL, "untidySQL": untidySQL, "trimHoldsSQL": trimHoldsSQL, "dropHoldsSQL": dropHoldsSQL, "finishOutputsSQL": finishOutputsSQL, "wonBeforeSQL": wonBeforeSQL,
		"rescueSQL": rescueSQL, "forceCancelSQL": forceCancelSQL,
		"generationSQL": generationSQL, "newGenerationSQL": newGenerationSQL, "owedSQL": owedSQL, "markSentSQL": markSentSQL,
		"refenceSQL": refenceSQL, "unclaimedSQL": unclaimedSQL, "leadSQL": leadSQL, "resignSQL": resignSQL,
		"depthsSQL": depthsSQL, "runningSQL": runningSQL, "backlogSQL": backlogSQL,
		"takeKeysSQL": takeKeysSQL, "knownKeysSQL": knownKeysSQL, "dropKeysSQL": dropKeysSQL, "changeKeysSQL": changeKeysSQL,
		"answerSQL": answerSQL, "expireIdempotencySQL": expireIdempotencySQL, "expireUniqueSQL": expireUniqueSQL,
		"takeUniqueSQL": takeUniqueSQL, "holdersSQL": holdersSQL, "dropStrayUniqueSQL": dropStrayUniqueSQL,
		"presentSQL": presentSQL, "lockInputsSQL": lockInputsSQL, "failOverdueSQL": failOverdueSQL,
		"deliveriesSQL": deliveriesSQL, "removeTellsSQL": removeTellsSQL, "quarantineSQL": quarantineSQL,
		"pauseSQL": pauseSQL, "resumeSQL": resumeSQL, "pausedSQL": pausedSQL,
		"putScheduleSQL": putScheduleSQL, "scheduleSQL": scheduleSQL, "listSchedulesSQL": listSchedulesSQL,
		"deleteScheduleSQL": deleteScheduleSQL, "nowSQL": nowSQL, "dueSchedulesSQL": dueSchedulesSQL,
		"joinSQL": joinSQL, "liveSQL": liveSQL, "partStraySQL": partStraySQL, "leaderEndSQL": leaderEndSQL, "sharedSQL": sharedSQL,
		"waitingSQL": waitingSQL, "endWaitingSQL": endWaitingSQL, "inheritSQL": inheritSQL, "promoteSQL": promoteSQL, "rejoinSQL": rejoinSQL,
		"dropReleaseSQL": dropReleaseSQL, "settledSQL": settledSQL, "owedReleasesSQL": owedReleasesSQL, "walkGroupsSQL": walkGroupsSQL,
		"walkFollowedSQL": walkFollowedSQL, "waitingQueuesSQL": waitingQueuesSQL,
		"putPresetSQL": putPresetSQL, "changePresetSQL": changePresetSQL, "presetSQL": presetSQL, "listPresetsSQL": listPresetsSQL,
		"deletePresetSQL": deletePresetSQL,
		"tickSQL":         tickSQL, "tickedSQL": tickedSQL, "ownTickSQL": ownTickSQL,
	}
	for name, filter := range map[string]store.JobFilter{
		"listSQL":        {State: millrace.Queued, Type: "t", Before: "00000000-0000-7000-8000-000000000000"},
		"listRunningSQL": {State: millrace.Running, Type: "t"},
		"listTagSQL":     {Tag: "t", State: millrace.Queued, Before: "00000000-0000-7000-8000-000000000000"},
	} {
		all[name], _, _ = listQuery("tenant", filter)
	}
	return all
}
