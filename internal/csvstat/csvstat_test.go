package csvstat_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/csvstat"
)

func summarize(t testing.TB, data string, o csvstat.Options) csvstat.Table {
	t.Helper()
	got, err := csvstat.Summarize(strings.NewReader(data), o)
	if err != nil {
		t.Fatalf("Summarize(%.60q): %v", data, err)
	}
	return got
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cells    string // parted by blanks
		want     csvstat.Type
		min, max string
	}{
		{"1 -2 +3 007", csvstat.Integer, "-2", "7"},
		{"9223372036854775807 -9223372036854775808", csvstat.Integer, "-9223372036854775808", "9223372036854775807"},
		{"9223372036854775808 1", csvstat.Integer, "1", "9223372036854776000"},
		{"1 2.5", csvstat.Decimal, "1", "2.5"},
		{"1e3 -.5 5.", csvstat.Decimal, "-0.5", "1000"},
		{"0 -0.0", csvstat.Decimal, "-0", "0"},
		{"1 NaN", csvstat.Text, "", ""},
		{"inf", csvstat.Text, "", ""},
		{"0x1F", csvstat.Text, "", ""},
		{"1_000", csvstat.Text, "", ""},
		{"１２", csvstat.Text, "", ""},
		{"1e999", csvstat.Text, "", ""},
		{"- + . e", csvstat.Text, "", ""},
		{"1 true", csvstat.Text, "", ""},
		{"true FALSE True", csvstat.Boolean, "", ""},
		{"true 1", csvstat.Text, "", ""},
		{"2025-03-01 1999-12-31", csvstat.Date, `"1999-12-31"`, `"2025-03-01"`},
		{"2025-02-30", csvstat.Text, "", ""},
		{"2025-03-01T10:00:00Z 2025-03-01T12:00:00+05:00", csvstat.DateTime, `"2025-03-01T07:00:00Z"`, `"2025-03-01T10:00:00Z"`},
		{"2025-03-01T10:00:00.25 2025-03-01", csvstat.DateTime, `"2025-03-01T00:00:00Z"`, `"2025-03-01T10:00:00.25Z"`},
		{"2025-03-01 x", csvstat.Text, "", ""},
		{"2025-03-01 5", csvstat.Text, "", ""},
		{"", csvstat.Null, "", ""},
	} {
		t.Run(tc.cells, func(t *testing.T) {
			t.Parallel()
			got := summarize(t, "name;x\n;"+strings.ReplaceAll(tc.cells, " ", "\n;")+"\n", csvstat.Options{Header: true, Delimiter: ';'}).Columns[1]
			if got.Type != tc.want || string(got.Min) != tc.min || string(got.Max) != tc.max {
				t.Errorf("type %s from %s to %s, want %s from %s to %s", got.Type, got.Min, got.Max, tc.want, tc.min, tc.max)
			}
			if numeric := tc.want == csvstat.Integer || tc.want == csvstat.Decimal; (got.Mean != nil) != numeric {
				t.Errorf("mean = %v for type %s", got.Mean, got.Type)
			}
		})
	}
}

func TestBlanksAroundNumbers(t *testing.T) {
	t.Parallel()
	if got := summarize(t, "a, b\n1, 2\n3 , 4\n", csvstat.Options{Header: true}); got.Columns[0].Type != csvstat.Integer || got.Columns[1].Type != csvstat.Integer {
		t.Errorf("types %s and %s, want integers", got.Columns[0].Type, got.Columns[1].Type)
	}
}

func TestDialect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, data, want string }{
		{"comma", "a,b\n1,2\n", ","},
		{"semicolon", "a;b\n1;2\n", ";"},
		{"tab", "a\tb\n1\t2\n", "\t"},
		{"bar", "a|b\n1|2\n", "|"},
		{"decimal commas", "a;b\n1,5;2,5\n3,5;4,5\n", ";"},
		{"decimal commas without a header", "1,5;2,5\n3,5;4,5\n", ";"},
		{"semicolons in one column", "a,b,c,d\n1,x;y,3,4\n1,x;z,3,4\n", ","},
		{"commas in text", "a\tb\nx, y\t1\nx\t2\n", "\t"},
		{"quoted delimiters", "a,b\n\"x;y;z\",1\n\"x;y\",2\n", ","},
		{"one column", "a\n1\n2\n", ","},
		{"header only", "a;b;c\n", ";"},
		{"nothing", "", ","},
		{"ragged", "a,b,c\n1,2,3\n1,2\n1,2,3\n", ","},
		{"byte order mark", "\ufeffa;b\n1;2\n", ";"},
		{"more than one buffer", "a;b\n" + strings.Repeat("1,5;2,5\n", 20_000), ";"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := summarize(t, tc.data, csvstat.Options{Header: true, SkipBad: true})
			if got.Delimiter != tc.want {
				t.Errorf("delimiter %q, want %q", got.Delimiter, tc.want)
			}
			if len(got.Columns) > 0 && strings.Contains(got.Columns[0].Name, "\ufeff") {
				t.Errorf("first column is called %q", got.Columns[0].Name)
			}
		})
	}
}

func TestEmptyTables(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "\n\n\r\n\n", "\ufeff"} {
		raw, err := json.Marshal(summarize(t, data, csvstat.Options{Header: true}))
		if want := `{"rows":0,"delimiter":",","columns":[]}`; err != nil || string(raw) != want {
			t.Errorf("Summarize(%q) = %s, %v, want %s", data, raw, err, want)
		}
		if _, err := csvstat.Summarize(strings.NewReader(data), csvstat.Options{Columns: []string{"a"}}); codeOf(err) != millrace.CodeInvalidInput {
			t.Errorf("column a of %q: %v, want invalid_input", data, err)
		}
	}
	got := summarize(t, "a,b\n", csvstat.Options{Header: true})
	if got.Rows != 0 || len(got.Columns) != 2 || got.Columns[0].Type != csvstat.Null {
		t.Errorf("a header alone gives %+v", got)
	}
}

func codeOf(err error) millrace.Code {
	if e, ok := errors.AsType[*millrace.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", csvstat.MaxRecord+1<<17) // the bound is kept but for the length of two buffers
	for _, tc := range []struct {
		name, data string
		want       millrace.Code
		says       string
	}{
		{"short row", "a,b\n1,2\n\n3\n", millrace.CodeInvalidInput, "line 4: the row that begins here has 1 cell, the first row has 2"},
		{"long row", "a,b\n1,\"2\n2\"\n3,4,5\n", millrace.CodeInvalidInput, "line 4: the row that begins here has 3 cells"},
		{"bare quote", "a,b\n1,x\"y\n", millrace.CodeInvalidInput, "line 2: the row that begins here has a quote inside"},
		{"open quote", "a,b\n1,\"x\n2,y\n", millrace.CodeInvalidInput, "line 2: the row that begins here has a quote that is not closed"},
		{"quote and more", "a,b\n1,\"x\"y\n", millrace.CodeInvalidInput, "line 2: the row"},
		{"bad header", "a,\"b\n", millrace.CodeInvalidInput, "line 1: the row"},
		{"NUL", "a,b\n1,2\n3,\x00\n", millrace.CodeInvalidInput, "line 3 holds a NUL byte"},
		{"Latin-1", "a,b\n1,caf\xe9\n", millrace.CodeInvalidInput, "line 2 is not valid UTF-8 (byte 0xe9)"},
		{"Latin-1 at the end", "a,b\n1,caf\xe9", millrace.CodeInvalidInput, "line 2 is not valid UTF-8"},
		{"Latin-1 far away", "a,b\n" + strings.Repeat("1,2\n", 100_000) + "\xff\n", millrace.CodeInvalidInput, "line 100002 is not"},
		{"UTF-16 little", "\xff\xfea\x00,\x00", millrace.CodeUnsupportedFormat, "UTF-16"},
		{"UTF-16 big", "\xfe\xff\x00a\x00,", millrace.CodeUnsupportedFormat, "UTF-16"},
		{"gzip", "\x1f\x8b\x08\x00", millrace.CodeUnsupportedFormat, "file.decompress"},
		{"zstd", "\x28\xb5\x2f\xfd", millrace.CodeUnsupportedFormat, "file.decompress"},
		{"spreadsheet", "PK\x03\x04 sheet", millrace.CodeUnsupportedFormat, "spreadsheet"},
		{"NDJSON", "{\"a\": 1}\n{\"a\": 2}\n", millrace.CodeNotAvailable, "JSON"},
		{"JSON", " [\n { \"a\": 1}]", millrace.CodeNotAvailable, "JSON"},
		{"long row in bytes", "a,b\n1," + big + "\n", millrace.CodeTooLarge, "line 2: the row that begins here is larger than the limit of 4 MiB"},
		{"long quoted row in bytes", "a,b\n1,2\n1,\"" + big + "\"\n", millrace.CodeTooLarge, "line 3: the row"},
		{"many empty cells", "a,b\n1,2\n" + strings.Repeat(",", 1<<20), millrace.CodeTooLarge, "line 3: the row that begins here has more than 200000"},
		{"many columns", strings.Repeat("x,", csvstat.MaxColumns) + "x\n", millrace.CodeTooLarge, "1001 columns"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := csvstat.Summarize(strings.NewReader(tc.data), csvstat.Options{Header: true, Delimiter: ','})
			if codeOf(err) != tc.want || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("Summarize = %d rows, %v (code %q), want code %q and %q", got.Rows, err, codeOf(err), tc.want, tc.says)
			}
		})
	}
}

func TestLimitsAdmit(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"a row of almost 4 MiB":   "a,b\n1,\"" + strings.Repeat("x\n", csvstat.MaxRecord/2-100) + "\"\n",
		"empty lines":             "a,b\n" + strings.Repeat("\r\n", 4<<20) + "1,2\n",
		"many rows in one buffer": "a,b\n" + strings.Repeat(",\n", 1<<18),
		"as many columns as may":  strings.Repeat("x,", csvstat.MaxColumns-1) + "x\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			summarize(t, data, csvstat.Options{Header: true, Delimiter: ','})
		})
	}
	got := summarize(t, strings.Repeat("x,", 5000)+"y\n"+strings.Repeat("1,", 5000)+"2\n", csvstat.Options{Header: true, Columns: []string{"y"}})
	if len(got.Columns) != 1 || string(got.Columns[0].Max) != "2" {
		t.Errorf("one column of 5001 = %+v", got.Columns)
	}
}

func TestSkipBad(t *testing.T) {
	t.Parallel()
	data := "a,b\n1,2\n3\n4,5,6\n7,x\"y\n8,9\n10,\"z\"z\n11,12\n"
	got := summarize(t, data, csvstat.Options{Header: true, SkipBad: true})
	want := &csvstat.Skipped{Rows: 4, Lines: []int{3, 4, 5, 7}}
	if diff := cmp.Diff(want, got.Skipped); diff != "" || got.Rows != 3 || got.Columns[0].Type != csvstat.Integer {
		t.Errorf("%d rows, first column %s; skipped (-want +got):\n%s", got.Rows, got.Columns[0].Type, diff)
	}
	if _, err := csvstat.Summarize(strings.NewReader("a,b\n1,\"x\n2,y\n3,z\n"), csvstat.Options{Header: true, SkipBad: true}); codeOf(err) != millrace.CodeInvalidInput {
		t.Errorf("an open quote was skipped with all that follows it: %v", err)
	}
	many := summarize(t, "a,b\n"+strings.Repeat("1\n", 1000), csvstat.Options{Header: true, SkipBad: true})
	if many.Skipped.Rows != 1000 || len(many.Skipped.Lines) != 10 {
		t.Errorf("skipped %d rows with %d lines, want 1000 with 10", many.Skipped.Rows, len(many.Skipped.Lines))
	}
}

func TestReadErrorsPassThrough(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	for _, head := range []string{"", "a", "a,b\n1,", "a,b\n" + strings.Repeat("1,2\n", 50_000)} {
		_, err := csvstat.Summarize(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)), csvstat.Options{Header: true})
		if !errors.Is(err, broken) || codeOf(err) != "" {
			t.Errorf("after %d bytes: %v, want the reader's own error", len(head), err)
		}
	}
}

// TestReadsOfAnySize holds that characters and rows cut anywhere by a read are the same characters and rows.
func TestReadsOfAnySize(t *testing.T) {
	t.Parallel()
	data := "\ufeffname;größe;🙂\n" + strings.Repeat("\"Zürich;\n\"\"x\"\"\";1.5;👩‍👩‍👧\nGenève;2;é\n", 2000)
	want := summarize(t, data, csvstat.Options{Header: true})
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(strings.NewReader(data)), "half": iotest.HalfReader(strings.NewReader(data)),
		"data with the error": iotest.DataErrReader(strings.NewReader(data)),
	} {
		got, err := csvstat.Summarize(r, csvstat.Options{Header: true})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestSketches holds large columns, where nothing but counts and moments is exact, to the errors stated in the answer.
func TestSketches(t *testing.T) {
	t.Parallel()
	const rows = 50_000
	r := rand.New(rand.NewPCG(3, 4))
	for _, tc := range []struct {
		name string
		next func() float64
	}{
		{"normal", func() float64 { return r.NormFloat64() * 1000 }},
		{"exponential", func() float64 { return r.ExpFloat64() }},
		{"pareto", func() float64 { return math.Pow(r.Float64(), -1.5) }},
		{"far away", func() float64 { return 1e9 + r.Float64() }},
		{"tiny", func() float64 { return -r.Float64() * 1e-12 }},
		{"few", func() float64 { return float64(r.IntN(5)) }},
	} {
		var b strings.Builder
		values := make([]float64, rows)
		for i := range values {
			values[i] = tc.next()
			b.WriteString(strconv.FormatFloat(values[i], 'g', -1, 64))
			b.WriteByte('\n')
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			checkColumn(t, summarize(t, b.String(), csvstat.Options{}).Columns[0], values)
		})
	}
}

func checkColumn(t *testing.T, got csvstat.Column, values []float64) {
	t.Helper()
	n := float64(len(values))
	distinct := make(map[float64]int64)
	var sum, squares float64
	for _, v := range values {
		sum += v
		distinct[v]++
	}
	for _, v := range values {
		squares += (v - sum/n) * (v - sum/n)
	}
	within(t, "mean", *got.Mean, sum/n, 1e-9)
	within(t, "stddev", *got.StdDev, math.Sqrt(squares/(n-1)), 1e-6)
	slices.Sort(values)
	for key, v := range got.Quantiles {
		q, _ := strconv.ParseFloat(key, 64)
		place := q * (n - 1)
		low, high := values[int(place)], values[min(int(place)+1, len(values)-1)]
		want := low + (high-low)*(place-math.Floor(place))
		// The error is relative to the values, of which the quantile lies between two: around zero those may be larger than it is.
		if bound := (*got.QuantileError + 1e-12) * max(math.Abs(low), math.Abs(high)); math.Abs(v-want) > bound {
			t.Errorf("quantile %s = %v, want %v within %v", key, v, want, bound)
		}
	}
	within(t, "distinct", float64(got.Distinct), float64(len(distinct)), 5*got.DistinctError)
	var counted int64
	for _, bin := range got.Histogram {
		counted += bin.Count
	}
	if counted != int64(len(values)) {
		t.Errorf("histogram of %d values, want %d", counted, len(values))
	}
	for _, top := range got.Top {
		v, err := strconv.ParseFloat(top.Value, 64)
		if err != nil || top.Count > distinct[v] || top.Count+got.TopError < distinct[v] {
			t.Errorf("top value %s: %d times, error %d, want %d", top.Value, top.Count, got.TopError, distinct[v])
		}
	}
}

func within(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if math.Abs(got-want) > relative*math.Abs(want) {
		t.Errorf("%s = %v, want %v within %v", what, got, want, relative)
	}
}

// TestTopOfALongTail holds that a frequent value is found among very many rare ones, wherever its rows are.
func TestTopOfALongTail(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&b, "rare-%d\n", i)
		if i >= 80_000 && i%10 == 0 {
			b.WriteString("late\n")
		}
		if i%100 == 0 {
			b.WriteString("steady\n")
		}
	}
	got := summarize(t, b.String(), csvstat.Options{}).Columns[0]
	if len(got.Top) < 2 || got.Top[0].Value != "late" || got.Top[1].Value != "steady" {
		t.Fatalf("top = %v (error %d), want late and steady", got.Top, got.TopError)
	}
	for i, want := range []int64{2000, 1000} {
		if n := got.Top[i].Count; n > want || n+got.TopError < want {
			t.Errorf("%s: %d, error %d, want %d", got.Top[i].Value, n, got.TopError, want)
		}
	}
}

func TestExtremesStayEncodable(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		"1.7e308\n-1.7e308\n1.7e308\n", "5e-324\n0\n5e-324\n", "1e308\n" + strings.Repeat("1e308\n-1e308\n", 20_000), strings.Repeat("5e-324\n1e-310\n", 10_000), "7\n",
	} {
		if _, err := json.Marshal(summarize(t, data, csvstat.Options{})); err != nil {
			t.Errorf("Summarize(%.30q) cannot be encoded: %v", data, err)
		}
	}
}

func TestLongValuesAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 300)
	got := summarize(t, long+"\n"+long+"\n"+long+"x\n", csvstat.Options{Header: true}).Columns[0]
	if got.Name != strings.Repeat("é", 100) || got.Distinct != 2 || len(got.Top) != 2 || !got.Top[0].Cut || got.Top[0].Value != got.Name || *got.MaxLength != 301 {
		t.Errorf("column = %+v", got)
	}
}

// FuzzSummarize holds the reader to encoding/csv: equal rows where that reads all, a permanent error where it does not.
func FuzzSummarize(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a\n\"x\ny\"\n", "1;2\n\n3;4\r\n", "\ufeffa\n", "a,b\n1\n", "x\x00", "\xff", "a,\"b", "é,1e9\n,\n", "2025-01-01,true\n"} {
		f.Add([]byte(seed), byte(','))
	}
	f.Fuzz(func(t *testing.T, data []byte, delimiter byte) {
		o := csvstat.Options{Delimiter: rune(delimiter)}
		if delimiter >= 0x80 || delimiter == 0 || delimiter == '"' || delimiter == '\r' || delimiter == '\n' {
			o.Delimiter = 0
		}
		got, err := csvstat.Summarize(bytes.NewReader(data), o)
		if err != nil {
			if !codeOf(err).Permanent() {
				t.Fatalf("Summarize(%q): %v, want a permanent error", data, err)
			}
			return
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatalf("Summarize(%q) cannot be encoded: %v", data, err)
		}
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
		r.Comma = []rune(got.Delimiter)[0]
		records, err := r.ReadAll()
		if err != nil || int64(len(records)) != got.Rows {
			t.Fatalf("Summarize(%q) has %d rows, encoding/csv %d, %v", data, got.Rows, len(records), err)
		}
		for i, c := range got.Columns {
			nulls := int64(0)
			distinct := make(map[string]bool)
			for _, record := range records {
				if record[i] == "" {
					nulls++
				} else {
					distinct[record[i]] = true
				}
			}
			if c.Count != got.Rows || c.Nulls != nulls || c.Distinct != int64(len(distinct)) {
				t.Fatalf("column %d of %q: %+v, want %d nulls and %d distinct", i, data, c, nulls, len(distinct))
			}
		}
	})
}

func BenchmarkSummarize(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var data bytes.Buffer
	data.WriteString("id,at,country,amount,qty,note\n")
	for i := 0; data.Len() < 16<<20; i++ {
		fmt.Fprintf(&data, "%d,2025-01-%02dT10:00:00Z,%c%c,%.2f,%d,\"note, %d\"\n", i, 1+r.IntN(28), 'A'+r.IntN(5), 'A'+r.IntN(5), r.ExpFloat64()*100, r.IntN(20), r.IntN(500))
	}
	b.SetBytes(int64(data.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := csvstat.Summarize(bytes.NewReader(data.Bytes()), csvstat.Options{Header: true}); err != nil {
			b.Fatal(err)
		}
	}
}
