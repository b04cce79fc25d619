// Package csvstat summarizes a table of delimited text in one pass and constant memory: types, counts, moments, quantiles, distinct values,
// most frequent values and histograms of its columns.
//
// Memory depends on the number of columns, never on the number of rows or on a cell: small columns are counted exactly, large ones by sketches
// whose error is stated next to each number. The package knows nothing of jobs; it reads any io.Reader, and stops when that fails. It is not
// for tables in other shapes (NDJSON, Parquet, spreadsheets), which it refuses by name.
package csvstat

import (
	"encoding/json"
	"io"
)

// Bounds of what is read. A table beyond them is refused with too_large.
const (
	MaxColumns = 1000    // in the answer
	MaxRecord  = 4 << 20 // bytes of one row, quotes and line ends included
	maxCells   = 200_000 // of one row, whether they are in the answer or not
	wide       = 100     // columns, from where on less is said about each
)

// Memory is what Summarize holds at most, in bytes: it is reached by MaxColumns columns of distinct values and the largest row.
const Memory = 64 << 20

// Options say how to read a table.
type Options struct {
	Name      string   // of the file; its ending helps to refuse what is no delimited text
	Delimiter rune     // 0: told from the beginning of the input
	Header    bool     // the first row names the columns, else they are called column_1 and so on
	Columns   []string // only these; none: all
	SkipBad   bool     // leave out and count rows that have too few or too many cells or broken quotes, instead of failing
}

// Table is the summary.
type Table struct {
	Rows      int64    `json:"rows"` // without the header and skipped rows
	Delimiter string   `json:"delimiter"`
	Skipped   *Skipped `json:"skipped,omitempty"`
	Columns   []Column `json:"columns"` // in the order of the file
}

// Skipped tells of the rows that Options.SkipBad left out.
type Skipped struct {
	Rows  int64 `json:"rows"`
	Lines []int `json:"lines"` // where the first few begin
}

// Type is what all values of a column are.
type Type string

// The types of a column.
const (
	Null     Type = "null" // no values at all
	Integer  Type = "integer"
	Decimal  Type = "decimal"
	Boolean  Type = "boolean"  // true and false in any case
	Date     Type = "date"     // 2025-03-01
	DateTime Type = "datetime" // RFC 3339, with a space for the T and without a zone (then UTC) too; also a mixture with dates
	Text     Type = "text"
)

// Column is the summary of one column. Numbers that make no sense for its type are absent.
type Column struct {
	Name  string `json:"name"`
	Type  Type   `json:"type"`
	Count int64  `json:"count"` // rows
	Nulls int64  `json:"nulls"` // empty cells

	Min    json.RawMessage `json:"min,omitempty"` // a number, or the text of a time in UTC
	Max    json.RawMessage `json:"max,omitempty"`
	Mean   *float64        `json:"mean,omitempty"`
	StdDev *float64        `json:"stddev,omitempty"` // of a sample (n−1); absent for a single value

	MinLength *int `json:"min_length,omitempty"` // of text, in characters
	MaxLength *int `json:"max_length,omitempty"`

	Quantiles     map[string]float64 `json:"quantiles,omitempty"`
	QuantileError *float64           `json:"quantile_error,omitempty"` // relative to the values it lies between; 0: exact

	Distinct      int64   `json:"distinct"`       // values that differ in their bytes, empty cells not counted
	DistinctError float64 `json:"distinct_error"` // relative standard error; 0: exact

	Top      []TopValue `json:"top"`       // most frequent first, equals by value
	TopError int64      `json:"top_error"` // a true count is at most this much higher than the one given; 0: exact

	Histogram []Bin `json:"histogram,omitempty"`
}

// TopValue is a frequent value.
type TopValue struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	Cut   bool   `json:"cut,omitempty"` // the value is longer than shown
}

// Bin counts the values from From up to, and in the last bin including, To.
type Bin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int64   `json:"count"`
}

// Summarize reads a table to its end. Errors are r's own, or millrace.Errors with a permanent code when the table cannot be read.
func Summarize(r io.Reader, o Options) (Table, error) {
	t, err := open(r, o)
	if err != nil {
		return Table{}, err
	}
	if err := t.header(); err == io.EOF {
		return t.empty()
	} else if err != nil {
		return Table{}, err
	}
	for {
		record, err := t.next()
		if err == io.EOF {
			return t.summary(), nil
		}
		if err != nil {
			return Table{}, err
		}
		t.add(record)
	}
}
