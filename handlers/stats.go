package handlers

import (
	"context"

	"github.com/millrace/millrace/internal/csvstat"
	"github.com/millrace/millrace/tasks"
)

// stats summarizes a table of delimited text. The work is csvstat's.
func stats(ctx context.Context, call *tasks.Call, p tasks.StatsParams) (any, error) {
	release, err := call.Reserve(ctx, csvstat.Memory)
	if err != nil {
		return nil, err
	}
	defer release()
	src, in, err := openSource(ctx, call)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	table, err := csvstat.Summarize(src, csvstat.Options{
		Name:      call.Inputs()[0].Name,
		Delimiter: p.DelimiterRune(),
		Header:    p.Header,
		Columns:   p.Columns,
		SkipBad:   p.OnError == "skip",
	})
	if err != nil {
		own, _ := src.fault(err)
		return nil, own
	}
	return table, nil
}
