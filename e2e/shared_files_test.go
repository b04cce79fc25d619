package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// sharedFile is one entry of the collection's manifest of files.
type sharedFile struct {
	Name, Kind, Codec, SHA256 string
	Size, Rows                int64
	Header                    bool
	RawSize                   int64  `json:"raw_size"`
	RawSHA256                 string `json:"raw_sha256"`
	Stats                     []sharedColumn
}

type sharedColumn struct {
	Name, Type             string
	Count, Nulls, Distinct int64
	Mean, StdDev           *float64
	Min, Max               json.RawMessage
}

// refusals are the files of the collection that must fail, with the code and a part of the message.
func refusals() map[string][2]string {
	return map[string][2]string{
		"csv/ragged.csv": {"invalid_input", "line 2"}, "csv/latin1.csv": {"invalid_input|unsupported_format", "line 2"}, "csv/quote-in-middle.csv": {"invalid_input", "line 2"},
		"csv/unterminated-quote.csv": {"invalid_input|corrupt", "line 2"}, "csv/nul-bytes.csv": {"invalid_input|unsupported_format", "line 2"},
		"csv/utf16le.csv":         {"unsupported_format|invalid_input", "UTF-16"},
		"compressed/truncated.gz": {"corrupt", ""}, "compressed/truncated-trailer.gz": {"corrupt", ""}, "compressed/truncated.zst": {"corrupt", ""}, "compressed/bad-crc.gz": {"corrupt", ""},
		"compressed/bad-checksum.zst": {"corrupt", ""}, "compressed/bad-isize.gz": {"corrupt", ""}, "compressed/trailing-garbage.gz": {"corrupt", ""}, "compressed/trailing-zeros.gz": {"corrupt", ""},
		"compressed/corrupt-middle.gz": {"corrupt", ""}, "compressed/corrupt-middle.zst": {"corrupt", ""}, "compressed/huge-window.zst": {"too_large", ""},
		"compressed/not-compressed.gz": {"unsupported_format", ""}, "compressed/one-byte.gz": {"unsupported_format", ""},
		"compressed/ok.csv.br": {"unsupported_format", ""}, "compressed/empty.br": {"unsupported_format", ""}, "compressed/truncated.br": {"unsupported_format", ""},
		"bombs/zeros-64MiB.gz": {"too_large", ""}, "bombs/zeros-1GiB.zst": {"too_large", ""}, "bombs/zeros-256MiB.br": {"unsupported_format", ""}, "bombs/nested.zip": {"unsupported_format", ""},
	}
}

// TestSharedFiles sends every other file of the collection through a server.
func TestSharedFiles(t *testing.T) {
	manifest, ok := readManifest[struct{ Files []sharedFile }](t, "files")
	if !ok {
		return
	}
	s := newTarget(start(t, "embedded"))
	for _, m := range manifest.Files {
		data, err := os.ReadFile(filepath.Join(sharedData, "files", filepath.FromSlash(m.Name)))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(m.Name, func(t *testing.T) {
			f := s.on(t).upload(path.Base(m.Name), data)
			if f.Size != m.Size || f.SHA256 != m.SHA256 {
				t.Fatalf("uploaded file = %+v, want %d bytes with %s", f, m.Size, m.SHA256)
			}
			switch path.Dir(m.Name) {
			case "csv":
				s.checkTable(t, m, f)
			case "ndjson":
				checkFailed(t, m.Name, s.work(t, "compute.stats", f, `{}`), "not_available|unsupported_format", "")
			case "compressed", "bombs":
				s.checkUnpacked(t, m, f)
			case "opaque":
				s.checkOpaque(t, f)
			default:
				s.checkNames(t, data)
			}
		})
	}
	s.checkPeak(t, inputLimit)
	s.checkWorks(t)
}

// work runs a job on a file to its end.
func (s *target) work(t *testing.T, task string, f file, params string) job {
	t.Helper()
	var j job
	s.on(t).call("POST", "/v1/jobs?wait=60s", "application/json", []byte(`{"type":"`+task+`","cache":false,"input":{"file":"`+f.ID+`"},"params":`+params+`}`), http.StatusOK, &j)
	return j
}

func (s *target) checkTable(t *testing.T, m sharedFile, f file) {
	params := `{}`
	if m.Kind == "table" && !m.Header {
		params = `{"header":false}`
	}
	j := s.work(t, "compute.stats", f, params)
	if r, ok := refusals()[m.Name]; ok {
		checkFailed(t, m.Name, j, r[0], r[1])
		return
	}
	var got struct {
		Rows    int64
		Columns []sharedColumn
	}
	if j.State != "succeeded" || json.Unmarshal(j.Result, &got) != nil || got.Rows != m.Rows || len(got.Columns) != len(m.Stats) {
		t.Fatalf("%s, error %+v, %d rows and %d columns, want %d and %d", j.State, j.Error, got.Rows, len(got.Columns), m.Rows, len(m.Stats))
	}
	for i, want := range m.Stats {
		c := got.Columns[i]
		if c.Name != want.Name || c.Count != want.Count || c.Nulls != want.Nulls || c.Distinct != want.Distinct {
			t.Errorf("column %d = %q, %d, %d, %d, want %q, %d, %d, %d (count, nulls, distinct)", i, c.Name, c.Count, c.Nulls, c.Distinct, want.Name, want.Count, want.Nulls, want.Distinct)
		}
		if want.Type != "number" {
			if c.Mean != nil {
				t.Errorf("column %q has a mean, though it is no number", c.Name)
			}
			continue
		}
		for _, pair := range [][2]*float64{{c.Mean, want.Mean}, {c.StdDev, want.StdDev}, {float(c.Min), float(want.Min)}, {float(c.Max), float(want.Max)}} {
			if pair[0] == nil || pair[1] == nil || math.Abs(*pair[0]-*pair[1]) > 1e-9*max(math.Abs(*pair[1]), 1e-6) {
				t.Errorf("column %q = %+v, want %+v", c.Name, c, want)
				break
			}
		}
	}
}

// float is a JSON number, nil for anything else.
func float(raw json.RawMessage) *float64 {
	var f *float64
	if json.Unmarshal(raw, &f) != nil {
		return nil
	}
	return f
}

func (s *target) checkUnpacked(t *testing.T, m sharedFile, f file) {
	j := s.work(t, "file.decompress", f, `{"max_bytes":1048576}`)
	if r, ok := refusals()[m.Name]; ok {
		checkFailed(t, m.Name, j, r[0], r[1])
		return
	}
	if j.State != "succeeded" || len(j.Outputs) != 1 {
		t.Fatalf("%s, error %+v, outputs %+v, want one output", j.State, j.Error, j.Outputs)
	}
	raw := s.on(t).bytes("/v1/jobs/" + j.ID + "/output")
	if sum := sha256.Sum256(raw); m.RawSHA256 != "" && hex.EncodeToString(sum[:]) != m.RawSHA256 || m.RawSHA256 == "" && len(raw) > 1<<20 {
		t.Errorf("%d bytes came out, want %d with %s", len(raw), m.RawSize, m.RawSHA256)
	}
	if name := j.Outputs[0].Name; strings.ContainsAny(name, `/\`) || strings.Contains(name, "evil") {
		t.Errorf("the output is called %q", name)
	}
}

// checkOpaque packs a file and unpacks it again, and serves it as nothing that a browser runs.
func (s *target) checkOpaque(t *testing.T, f file) {
	for _, codec := range []string{"gzip", "zstd"} {
		j := s.work(t, "file.compress", f, `{"codec":"`+codec+`"}`)
		if j.State != "succeeded" || len(j.Outputs) != 1 || j.Outputs[0].Size > f.Size+f.Size/1000+1024 {
			t.Fatalf("%s: %s, error %+v, outputs %+v of %d bytes", codec, j.State, j.Error, j.Outputs, f.Size)
		}
		back := s.work(t, "file.decompress", file{ID: j.Outputs[0].File}, `{}`)
		if back.State != "succeeded" || len(back.Outputs) != 1 || back.Outputs[0].SHA256 != f.SHA256 {
			t.Errorf("%s and back: %s, error %+v, outputs %+v, want sha256 %s", codec, back.State, back.Error, back.Outputs, f.SHA256)
		}
	}
	header := s.on(t).call("GET", "/v1/files/"+f.ID+"/content", "", nil, http.StatusOK, nil)
	if header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment") ||
		!strings.Contains(header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a browser could run the file: %v", header)
	}
}

// checkNames uploads a file under each strange name; it is kept safely, and the header that gives it back can be read.
func (s *target) checkNames(t *testing.T, raw []byte) {
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var f file
		s.on(t).call("POST", "/v1/files?name="+url.QueryEscape(name), "application/octet-stream", []byte(probeText), http.StatusCreated, &f)
		if f.Name == "" || len(f.Name) > 255 || !utf8.ValidString(f.Name) || strings.ContainsAny(f.Name, "/\\\x00\r\n\u202e") || strings.Trim(f.Name, ". ") == "" {
			t.Errorf("the name %q is kept as %q", name, f.Name)
		}
		header := s.on(t).call("HEAD", "/v1/files/"+f.ID+"/content", "", nil, http.StatusOK, nil)
		kind, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || params["filename"] != f.Name || header.Get("Set-Cookie") != "" {
			t.Errorf("the name %q is given back as %q: %v, %v", f.Name, header.Get("Content-Disposition"), params, err)
		}
	}
}
