package handlers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/csvstat"
	"github.com/millrace/millrace/tasks/taskstest"
)

// TestStatsResult shows the whole answer once, as a caller sees it.
func TestStatsResult(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, "compute.stats")
	params, err := typ.Decode(nil)
	if err != nil {
		t.Fatal(err)
	}
	table := "city,people,founded,capital,\n" + "Lyon,200,,false,x\n" + "Paris,300,1970-01-01,true,\n" + "Nice,100,2020-02-29,FALSE,\n"
	host := new(taskstest.Host)
	got, err := typ.Run(t.Context(), host.Call(taskstest.Input{Name: "cities.csv", Data: []byte(table)}), params)
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "compute.stats.result.golden", got)
	last := host.Reported()[len(host.Reported())-1]
	if want := (millrace.Progress{Done: int64(len(table)), Total: int64(len(table)), Unit: "bytes"}); last != want {
		t.Errorf("last progress = %+v, want %+v", last, want)
	}
}

func TestStatsParams(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		params, data, delimiter string
		rows                    int64
		names                   []string
	}{
		{`{}`, "a,b\n1,2\n", ",", 1, []string{"a", "b"}},
		{`{"header":false}`, "a,b\n1,2\n", ",", 2, []string{"column_1", "column_2"}},
		{`{"delimiter":";"}`, "a,b\n1,2\n", ";", 1, []string{"a,b"}},
		{`{"delimiter":"tab"}`, "a\tb\n1\t2\n", "\t", 1, []string{"a", "b"}},
		{`{"delimiter":"\t"}`, "a\tb\n1\t2\n", "\t", 1, []string{"a", "b"}},
		{`{"delimiter":"·"}`, "a·b\n1·2\n", "·", 1, []string{"a", "b"}},
		{`{"columns":["c","a"]}`, "a,b,c\n1,2,3\n", ",", 1, []string{"a", "c"}},
		{`{"columns":["x"]}`, "x,y,x\n1,2,3\n", ",", 1, []string{"x", "x"}},
		{`{"on_error":"skip"}`, "a,b\n1,2\n3\n", ",", 1, []string{"a", "b"}},
	} {
		t.Run(tc.params, func(t *testing.T) {
			t.Parallel()
			got, _, err := run[csvstat.Table](t, "compute.stats", tc.params, taskstest.Input{Name: "x", Data: []byte(tc.data)})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range got.Columns {
				names = append(names, c.Name)
			}
			if diff := cmp.Diff(tc.names, names); got.Rows != tc.rows || got.Delimiter != tc.delimiter || diff != "" {
				t.Errorf("%d rows by %q, want %d by %q; names (-want +got):\n%s", got.Rows, got.Delimiter, tc.rows, tc.delimiter, diff)
			}
		})
	}
}

func TestStatsRefusesDelimiters(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, "compute.stats")
	for _, delimiter := range []string{"", `"`, "\n", "\r", ",,", "comma", "\x00"} {
		raw, err := json.Marshal(map[string]string{"delimiter": delimiter})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := typ.Decode(raw); err == nil {
			t.Errorf("Decode(%s) = %s, want an error", raw, got)
		}
	}
}

func TestStatsRefusesInput(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file, params, data string
		want                     millrace.Code
		says                     string
	}{
		{"ragged", "x.csv", `{}`, "a,b\n1,2\n3\n", millrace.CodeInvalidInput, "line 3"},
		{"no such column", "x.csv", `{"columns":["b"]}`, "a\n1\n", millrace.CodeInvalidInput, `"b"`},
		{"compressed", "x.csv.gz", `{}`, string(packGzip(t, []byte("a,b\n"))), millrace.CodeUnsupportedFormat, "file.decompress"},
		{"NDJSON by its name", "x.ndjson", `{}`, "1\n2\n", millrace.CodeNotAvailable, "JSON"},
		{"NDJSON by its bytes", "x", `{}`, `{"a":1}` + "\n", millrace.CodeNotAvailable, "JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := run[csvstat.Table](t, "compute.stats", tc.params, taskstest.Input{Name: tc.file, Data: []byte(tc.data)})
			if codeOf(err) != tc.want || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("error = %v (code %q), want code %q and %q", err, codeOf(err), tc.want, tc.says)
			}
		})
	}
}

// TestStatsOfAHugeField holds that a cell of 100 MB is refused without being read, let alone kept.
func TestStatsOfAHugeField(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	for name, head := range map[string]string{"quoted": "a,b\n1,\"", "bare": "a,b\n1,", "header": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ := typeOf(t, "compute.stats")
			params, err := typ.Decode(nil)
			if err != nil {
				t.Fatal(err)
			}
			host := &streamHost{size: int64(len(head)) + size, name: "x.csv", in: io.MultiReader(strings.NewReader(head), newRepeat([]byte("mill"), size))}
			_, err = typ.Run(t.Context(), host.call(1), params)
			if codeOf(err) != millrace.CodeTooLarge {
				t.Errorf("error = %v, want too_large", err)
			}
			if read := host.read.Load(); read > 8<<20 {
				t.Errorf("read %d bytes before refusing", read)
			}
		})
	}
}
