package csvstat

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

const (
	maxValue    = 200 // bytes of a name or value as it is shown
	maxBadLines = 10
)

// table is a summary in the making.
type table struct {
	options   Options
	guard     *guard
	reader    *csv.Reader
	delimiter rune

	width    int // cells of a row
	columns  []*column
	index    []int // of each column in a row
	rows     int64
	skipped  Skipped
	nextLine int // where the next row begins, empty lines aside
}

// open looks at the beginning of the input and prepares to read rows.
func open(r io.Reader, o Options) (*table, error) {
	t := &table{options: o, guard: newGuard(r), nextLine: 1}
	t.guard.report = func(what string) error {
		return millrace.BadInput(millrace.CodeTooLarge, "line %d: the row that begins here %s", t.nextLine, what)
	}
	raw := make([]byte, 4)
	n, err := io.ReadFull(r, raw)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	// UTF-16 and archives must be told before the guard, which would only find that they are no UTF-8.
	if err := refuse(raw[:n], ""); err != nil {
		return nil, err
	}
	t.guard.r = io.MultiReader(strings.NewReader(strings.TrimPrefix(string(raw[:n]), byteOrderMark)), r)
	buffered := bufio.NewReaderSize(t.guard, bufferSize)
	head, err := buffered.Peek(bufferSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if err := refuse(head, o.Name); err != nil {
		return nil, err
	}
	if t.delimiter = o.Delimiter; t.delimiter == 0 {
		t.delimiter = detectDelimiter(head, err == io.EOF)
	}
	if t.delimiter < utf8.RuneSelf {
		t.guard.delimiter = byte(t.delimiter)
	}
	t.guard.recordDone()
	t.reader = csv.NewReader(buffered)
	t.reader.Comma, t.reader.FieldsPerRecord, t.reader.ReuseRecord = t.delimiter, -1, true
	return t, nil
}

// header reads the first row and lays out the columns.
func (t *table) header() error {
	record, err := t.read()
	if err != nil {
		return t.word(err)
	}
	t.width = len(record)
	names := make([]string, t.width)
	for i := range record {
		if names[i] = fmt.Sprintf("column_%d", i+1); t.options.Header {
			names[i] = strings.Clone(record[i])
		}
	}
	if err := t.choose(names); err != nil {
		return err
	}
	if !t.options.Header {
		t.add(record)
	}
	return nil
}

// choose takes the columns that were asked for, in the order of the file, all of a name that is there more than once.
func (t *table) choose(names []string) error {
	wanted := make(map[string]bool, len(t.options.Columns))
	for _, name := range t.options.Columns {
		wanted[name] = true
	}
	found := make(map[string]bool, len(wanted))
	for i, name := range names {
		if len(wanted) > 0 && !wanted[name] {
			continue
		}
		found[name] = true
		t.index = append(t.index, i)
	}
	for _, name := range t.options.Columns {
		if !found[name] {
			return noColumn(name)
		}
	}
	if len(t.index) > MaxColumns {
		return millrace.BadInput(millrace.CodeTooLarge, "the input has %d columns, at most %d are summarized: name those you want in columns", len(t.index), MaxColumns)
	}
	for _, i := range t.index {
		t.columns = append(t.columns, newColumn(names[i], len(t.index)))
	}
	return nil
}

func noColumn(name string) error {
	shown, _ := cutText(name)
	return millrace.BadInput(millrace.CodeInvalidInput, "the input has no column %q", shown)
}

// next returns the next good row.
func (t *table) next() ([]string, error) {
	for {
		line := t.nextLine
		record, err := t.read()
		if err == nil {
			if line, _ = t.reader.FieldPos(0); len(record) == t.width {
				return record, nil
			}
			err = millrace.BadInput(millrace.CodeInvalidInput, "line %d: the row that begins here has %s, the first row has %d",
				line, cells(len(record)), t.width)
		} else if !skippable(err) {
			return nil, t.word(err)
		} else if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			line, t.nextLine = parse.StartLine, parse.Line+1
		}
		if !t.options.SkipBad {
			return nil, t.word(err)
		}
		t.skipped.Rows++
		if len(t.skipped.Lines) < maxBadLines {
			t.skipped.Lines = append(t.skipped.Lines, line)
		}
	}
}

func cells(n int) string {
	if n == 1 {
		return "1 cell"
	}
	return fmt.Sprintf("%d cells", n)
}

// read returns the next row, good or bad.
func (t *table) read() ([]string, error) {
	record, err := t.reader.Read()
	if t.guard.err != nil {
		return nil, t.guard.err
	}
	t.guard.recordDone()
	if err != nil {
		return nil, err
	}
	last := len(record) - 1
	line, _ := t.reader.FieldPos(last)
	t.nextLine = line + strings.Count(record[last], "\n") + 1
	return record, nil
}

// skippable says whether the rows behind a broken one can be trusted. A stray quote may have swallowed many lines, so one that spans lines ends
// the reading whatever the options say.
func skippable(err error) bool {
	parse, ok := errors.AsType[*csv.ParseError](err)
	return ok && parse.StartLine == parse.Line
}

// word says in our own words what the CSV reader found.
func (t *table) word(err error) error {
	parse, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return err
	}
	what := "cannot be read: " + parse.Err.Error()
	switch {
	case errors.Is(parse.Err, csv.ErrBareQuote):
		what = `has a quote inside a cell that is not quoted`
	case errors.Is(parse.Err, csv.ErrQuote):
		what = `has a quote that is not closed, or that is not followed by the delimiter`
	}
	return &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeInvalidInput,
		Detail: fmt.Sprintf("line %d: the row that begins here %s", parse.StartLine, what), Err: err}
}

// add counts a row.
func (t *table) add(record []string) {
	t.rows++
	for k, i := range t.index {
		t.columns[k].add(record[i])
	}
}

// empty is the summary of an input without a single row.
func (t *table) empty() (Table, error) {
	if len(t.options.Columns) > 0 {
		return Table{}, noColumn(t.options.Columns[0])
	}
	return t.summary(), nil
}

func (t *table) summary() Table {
	s := Table{Rows: t.rows, Delimiter: string(t.delimiter), Columns: make([]Column, 0, len(t.columns))}
	if t.skipped.Rows > 0 {
		s.Skipped = &t.skipped
	}
	for _, c := range t.columns {
		s.Columns = append(s.Columns, c.summary())
	}
	return s
}

// cutText shortens a text to what is shown of it, at the border of a character.
func cutText(s string) (shown string, cut bool) {
	if len(s) <= maxValue {
		return s, false
	}
	n := maxValue
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n], true
}
