package handlers_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/csvstat"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// sharedFiles is a larger collection of inputs beside the repository, with a manifest of what is expected of each. The suite runs where it is.
const sharedFiles = "../../shared/testdata/files"

// sharedFile is one entry of the manifest.
type sharedFile struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind"`
	Header    bool           `json:"header"`
	Delimiter string         `json:"delimiter"`
	Rows      int64          `json:"rows"`
	Stats     []sharedColumn `json:"stats"`
	Codec     string         `json:"codec"`
	RawSize   int64          `json:"raw_size"`
	RawSHA256 string         `json:"raw_sha256"`
}

type sharedColumn struct {
	Name      string             `json:"name"`
	Type      string             `json:"type"`
	Integers  bool               `json:"integers"`
	Count     int64              `json:"count"`
	Nulls     int64              `json:"nulls"`
	Distinct  int64              `json:"distinct"`
	Top       [][2]any           `json:"top"`
	Min       float64            `json:"min"`
	Max       float64            `json:"max"`
	Mean      float64            `json:"mean"`
	StdDev    float64            `json:"stddev"`
	Quantiles map[string]float64 `json:"quantiles"`
	MinLength int                `json:"min_len"`
	MaxLength int                `json:"max_len"`
}

func TestSharedFiles(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(sharedFiles, "manifest.json"))
	if err != nil {
		t.Log("no collection of files beside the repository")
		return
	}
	var manifest struct {
		Files []sharedFile `json:"files"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, f := range manifest.Files {
		data, err := os.ReadFile(filepath.Join(sharedFiles, filepath.FromSlash(f.Name)))
		if err != nil {
			t.Fatal(err)
		}
		in := taskstest.Input{Name: filepath.Base(f.Name), Data: data}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			switch dir := filepath.Dir(f.Name); {
			case dir == "csv":
				checkSharedTable(t, f, in)
			case dir == "ndjson":
				refusedWith(t, "compute.stats", `{}`, in, millrace.CodeNotAvailable)
			case dir == "compressed":
				checkSharedCompressed(t, f, in)
			case dir == "bombs":
				checkSharedBomb(t, f, in)
			default:
				checkSharedOpaque(t, in)
			}
		})
	}
}

// refusedTables are those that this release does not read, each by the manifest's leave, and what the refusal says.
func refusedTables() map[string]string {
	return map[string]string{
		"csv/ragged.csv":             "line 2:",
		"csv/latin1.csv":             "line 2 is not valid UTF-8",
		"csv/quote-in-middle.csv":    "line 2:",
		"csv/unterminated-quote.csv": "line 2:",
		"csv/nul-bytes.csv":          "line 2 holds a NUL byte",
		"csv/utf16le.csv":            "UTF-16",
	}
}

func checkSharedTable(t *testing.T, f sharedFile, in taskstest.Input) {
	params := `{}`
	if f.Kind == "table" && !f.Header {
		params = `{"header":false}`
	}
	got, _, err := run[csvstat.Table](t, "compute.stats", params, in)
	if says, ok := refusedTables()[f.Name]; ok {
		if !codeOf(err).Permanent() || !strings.Contains(err.Error(), says) {
			t.Errorf("error = %v (code %q), want a permanent one with %q", err, codeOf(err), says)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if f.Kind == "bad" { // those that are left are empty
		if got.Rows != 0 || len(got.Columns) != 0 {
			t.Errorf("%d rows, %d columns, want none", got.Rows, len(got.Columns))
		}
		return
	}
	if got.Rows != f.Rows || len(got.Columns) != len(f.Stats) || f.Delimiter != "" && len(got.Columns) > 1 && got.Delimiter != f.Delimiter {
		t.Fatalf("%d rows, %d columns by %q, want %d, %d by %q", got.Rows, len(got.Columns), got.Delimiter, f.Rows, len(f.Stats), f.Delimiter)
	}
	for i, want := range f.Stats {
		checkSharedColumn(t, got.Columns[i], want)
	}
}

func checkSharedColumn(t *testing.T, got csvstat.Column, want sharedColumn) {
	t.Helper()
	if got.Name != want.Name || got.Count != want.Count || got.Nulls != want.Nulls || got.Distinct != want.Distinct || got.DistinctError != 0 {
		t.Errorf("%q: count %d, nulls %d, distinct %d, want %q: %d, %d, %d", got.Name, got.Count, got.Nulls, got.Distinct, want.Name, want.Count, want.Nulls, want.Distinct)
	}
	numeric := got.Type == csvstat.Integer || got.Type == csvstat.Decimal
	if numeric != (want.Type == "number") || numeric && want.Integers != (got.Type == csvstat.Integer) || (got.Type == csvstat.Null) != (want.Type == "null") {
		t.Errorf("%q: type %s, want %s (integers: %v)", got.Name, got.Type, want.Type, want.Integers)
	}
	for i, top := range want.Top {
		value, _ := top[0].(string) // cut, if long, at another place than ours
		if i >= len(got.Top) || !strings.HasPrefix(got.Top[i].Value, value) || float64(got.Top[i].Count) != top[1] {
			t.Errorf("%q: top = %v, want %v", got.Name, got.Top, want.Top)
			break
		}
	}
	if got.Type == csvstat.Text && (*got.MinLength != want.MinLength || *got.MaxLength != want.MaxLength) {
		t.Errorf("%q: %d to %d characters, want %d to %d", got.Name, *got.MinLength, *got.MaxLength, want.MinLength, want.MaxLength)
	}
	if !numeric {
		return
	}
	near(t, got.Name+" min", rawNumber(t, got.Min), want.Min)
	near(t, got.Name+" max", rawNumber(t, got.Max), want.Max)
	near(t, got.Name+" mean", *got.Mean, want.Mean)
	near(t, got.Name+" stddev", *got.StdDev, want.StdDev)
	for q, v := range want.Quantiles {
		near(t, got.Name+" quantile "+q, got.Quantiles[q], v)
	}
	var n int64
	for _, bin := range got.Histogram {
		n += bin.Count
	}
	if n != want.Count-want.Nulls {
		t.Errorf("%q: histogram of %d values, want %d", got.Name, n, want.Count-want.Nulls)
	}
}

func rawNumber(t *testing.T, raw json.RawMessage) float64 {
	t.Helper()
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Max(math.Abs(want), 1e-6) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// refusedWith runs an attempt that must fail with a code.
func refusedWith(t *testing.T, name, params string, in taskstest.Input, want millrace.Code) {
	t.Helper()
	if _, _, err := run[json.RawMessage](t, name, params, in); codeOf(err) != want {
		t.Errorf("error = %v (code %q), want code %q", err, codeOf(err), want)
	}
}

func checkSharedCompressed(t *testing.T, f sharedFile, in taskstest.Input) {
	switch {
	case strings.HasSuffix(f.Name, ".br"), strings.HasSuffix(f.Name, "not-compressed.gz"), strings.HasSuffix(f.Name, "one-byte.gz"):
		refusedWith(t, "file.decompress", `{}`, in, millrace.CodeUnsupportedFormat)
	case strings.HasSuffix(f.Name, "huge-window.zst"):
		refusedWith(t, "file.decompress", `{}`, in, millrace.CodeTooLarge)
	case f.Kind == "bad":
		refusedWith(t, "file.decompress", `{}`, in, millrace.CodeCorrupt)
	default:
		got, host, err := run[tasks.DecompressResult](t, "file.decompress", `{}`, in)
		if err != nil {
			t.Fatal(err)
		}
		if _, out := onlyOutput(t, host); got.Codec != f.Codec || got.SHA256 != f.RawSHA256 || int64(len(out)) != f.RawSize || sum(out) != f.RawSHA256 {
			t.Errorf("result = %+v, want %s of %d bytes, sha256 %s", got, f.Codec, f.RawSize, f.RawSHA256)
		}
	}
}

func checkSharedBomb(t *testing.T, f sharedFile, in taskstest.Input) {
	switch {
	case f.RawSize > 1<<20 && f.Codec != tasks.Brotli:
		refusedWith(t, "file.decompress", `{"max_bytes":1048576}`, in, millrace.CodeTooLarge)
		refusedWith(t, "file.decompress", `{"max_ratio":100}`, in, millrace.CodeTooLarge)
	case f.Codec == tasks.Gzip:
		got, _, err := run[tasks.DecompressResult](t, "file.decompress", `{"max_bytes":1048576}`, in)
		if err != nil || got.OutBytes > 1<<20 {
			t.Errorf("result = %+v, %v, want a small output", got, err)
		}
	default:
		refusedWith(t, "file.decompress", `{}`, in, millrace.CodeUnsupportedFormat)
	}
}

func checkSharedOpaque(t *testing.T, in taskstest.Input) {
	for _, codec := range codecs {
		got, host, err := run[tasks.CompressResult](t, "file.compress", `{"codec":"`+codec+`"}`, in)
		if err != nil {
			t.Fatal(err)
		}
		_, packed := onlyOutput(t, host)
		if limit := got.InBytes + got.InBytes/1000 + 1024; got.OutBytes > limit {
			t.Errorf("%s: %d bytes became %d, want at most %d", codec, got.InBytes, got.OutBytes, limit)
		}
		checkUnpacks(t, codec, packed, in.Data)
	}
}
