package tasks

import (
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// StatsParams are the params of compute.stats.
type StatsParams struct {
	Columns   []string `json:"columns,omitempty" jsonschema:"title=Columns,description=Only these columns by name; all when absent.,maxItems=1000"`
	Delimiter string   `json:"delimiter" jsonschema:"title=Delimiter,description=One character; auto tells comma\\, semicolon\\, tab and vertical bar apart.,minLength=1,maxLength=4"`
	Header    bool     `json:"header" jsonschema:"title=First row is a header,description=Without a header the columns are called column_1 and so on."`
	OnError   string   `json:"on_error" jsonschema:"title=Bad rows,description=What to do with a row that has too few or too many cells or broken quotes.,enum=fail,enum=skip"`
}

// Validate refuses what cannot part cells.
func (p *StatsParams) Validate() error {
	if p.Delimiter == AutoDelimiter || p.Delimiter == "tab" {
		return nil
	}
	r, size := utf8.DecodeRuneInString(p.Delimiter)
	if size != len(p.Delimiter) || r == utf8.RuneError || r == '"' || r == '\r' || r == '\n' || r == 0 {
		return millrace.InvalidField("/params/delimiter", `must be auto, tab or one character that is neither a quote nor a line end`)
	}
	return nil
}

// AutoDelimiter means that the delimiter is told from the beginning of the input.
const AutoDelimiter = "auto"

// DelimiterRune is the delimiter that p names, 0 for auto.
func (p *StatsParams) DelimiterRune() rune {
	switch p.Delimiter {
	case "", AutoDelimiter:
		return 0
	case "tab":
		return '\t'
	}
	r, _ := utf8.DecodeRuneInString(p.Delimiter)
	return r
}

// Stats declares compute.stats. Its result is csvstat.Table, documented in docs/ and on GET /v1/task-types.
func Stats() Declaration[StatsParams] {
	return Declaration[StatsParams]{
		Name:  "compute.stats",
		Title: "Summarize a table",
		Description: "Reads a CSV or TSV file (UTF-8) of any size once and answers, for each column, its type, counts, extremes, mean and standard " +
			"deviation, quantiles, distinct values, most frequent values and a histogram. Counts, extremes, mean and deviation are exact; " +
			"`quantile_error`, `distinct_error` and `top_error` say how far the others may be off (0: exact).",
		Version:  "1",
		Pool:     millrace.CPU,
		Pure:     true,
		Defaults: StatsParams{Delimiter: AutoDelimiter, Header: true, OnError: "fail"},
		Examples: []Example[StatsParams]{
			{Title: "A file with a header", Params: StatsParams{Delimiter: AutoDelimiter, Header: true, OnError: "fail"}},
			{Title: "Tabs and no header; bad rows are left out and counted", Params: StatsParams{Delimiter: "tab", OnError: "skip"}},
		},
	}
}
