package sqlite

import (
	"context"
	"strings"
)

// Statements whose plans are tested, and how many arguments each takes.
var Statements = map[string]struct {
	SQL  string
	Args int
}{
	"claim":         {claimSQL, 4},
	"claimed":       {claimedSQL, 3},
	"finish":        {endSQL, 17},
	"cancel":        {cancelIdleSQL, 2},
	"retry":         {retrySQL, 2},
	"fail overdue":  {failOverdueSQL, 3},
	"quarantine":    {quarantineJob, 1},
	"holds":         {holdsSQL, 3},
	"mark":          {markSQL, 3},
	"owed new":      {owedNew, 3},
	"owed old":      {owedOld, 3},
	"quarantined":   {quarantineSQL, 1},
	"rescuable":     {rescuable, 0},
	"forceable":     {forceable, 1},
	"overdue":       {overdue, 2},
	"late waiting":  {overdueWaiting, 2},
	"group":         {groupSQL, 2},
	"part":          {partSQL, 3},
	"waiting":       {waitingSQL, 2},
	"end waiting":   {endWaitingSQL, 7},
	"promote":       {promoteSQL, 2},
	"rejoin":        {rejoinSQL, 2},
	"shared":        {sharedSQL, 2},
	"owed releases": {owedReleases, 2},
	"walk":          {walkGroups, 3},
	"walk followed": {walkFollowed, 2},
	"list":          {listAll, 7},
	"list tag":      {listTagged, 8},
	"later":         {laterSQL, 4},
	"answer":        {answerSQL, 2},
	"holder":        {holderSQL, 3},
	"free":          {freeSQL, 3},
	"old keys":      {dropOldKeys, 2},
	"over keys":     {dropOver, 2},
	"deliveries":    {deliveriesSQL, 2},
	"drop owed":     {dropDeliveries, 1},
	"schedule":      {scheduleSQL, 2},
	"schedules":     {schedulesSQL, 3},
	"due schedules": {dueSchedules, 5},
	"tick":          {tickSQL, 6},
	"preset":        {presetSQL, 2},
	"presets":       {presetsSQL, 3},
	"match preset":  {matchedPreset, 4},
	"inputs":        {inputsSQL, 1},
	"settle":        {settleSQL, 2},
	"die":           {dieSQL, 2},
	"dying":         {dyingSQL, 0},
}

// Explain is the query plan of a statement as the writer's connection sees it.
func (l *Ledger) Explain(ctx context.Context, query string, args int) (string, error) {
	var steps []string
	err := l.write(ctx, func(t *tx) error {
		return t.rows(func(row scanner) error {
			var id, parent, unused int
			var detail string
			err := row.Scan(&id, &parent, &unused, &detail)
			steps = append(steps, detail)
			return err
		}, `EXPLAIN QUERY PLAN `+query, make([]any, args)...)
	})
	return strings.Join(steps, "\n"), err
}

// Exec runs statements in a transaction of their own or with others.
func (l *Ledger) Exec(ctx context.Context, statements ...string) error {
	return l.write(ctx, func(t *tx) error {
		for _, s := range statements {
			if _, err := t.exec(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// Hold keeps the writer busy until release is closed; started is closed when it is.
func (l *Ledger) Hold(ctx context.Context, started chan<- struct{}, release <-chan struct{}) error {
	return l.write(ctx, func(*tx) error {
		close(started)
		<-release
		return nil
	})
}

// Waiting is how many callers wait for the writer.
func (l *Ledger) Waiting() int { return len(l.writer.ops) }

// Pragma sets a pragma of the writer's connection outside of any transaction.
func (l *Ledger) Pragma(ctx context.Context, text string) error {
	return l.write(ctx, func(t *tx) error {
		return t.rows(func(row scanner) error { var v any; return row.Scan(&v) }, `PRAGMA `+text)
	})
}

// Check is SQLite's own opinion of the file.
func (l *Ledger) Check(ctx context.Context) (verdict string, err error) {
	err = l.reads.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&verdict)
	return verdict, err
}

// ReadPragma is the value of a pragma inside a transaction, LazyPragma that inside a lazy one.
func (l *Ledger) ReadPragma(ctx context.Context, name string) (string, error) {
	return readPragma(ctx, l.write, name)
}

// LazyPragma is ReadPragma for a lazy transaction.
func (l *Ledger) LazyPragma(ctx context.Context, name string) (string, error) {
	return readPragma(ctx, l.writeLazily, name)
}

func readPragma(ctx context.Context, write func(context.Context, func(*tx) error) error, name string) (value string, err error) {
	err = write(ctx, func(t *tx) error { return t.row(`PRAGMA ` + name).Scan(&value) })
	return value, err
}
