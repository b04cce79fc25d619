package e2e_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// inputLimit is what any process may have resident while it meets the inputs of TestHostileInputs.
const inputLimit = 256 << 20

// TestHostileInputs gives the task types files that lie, burst or never end a line. Each job fails once, with its code, and leaves nothing.
func TestHostileInputs(t *testing.T) {
	pictures, packed, tables := badPictures(t), bombs(t), badTables()
	eachMode(t, func(t *testing.T, server *server) {
		s := newTarget(server)
		for _, group := range []struct {
			name  string
			cases []badInput
		}{{"pictures", pictures}, {"bombs", packed}, {"tables", tables}} {
			t.Run(group.name, func(t *testing.T) { s.failAll(t, group.cases) })
		}
		t.Run("races", func(t *testing.T) { races(t, s) })
		s.checkPeak(t, inputLimit)
		s.checkWorks(t)
	})
}

// badInput is a file that a task type must refuse.
type badInput struct {
	name, task, params string
	data               []byte
	code               string // of the job's error
	says               string // a part of its message
}

// failAll submits all cases at once and checks how each ends.
func (s *target) failAll(t *testing.T, cases []badInput) {
	c := s.on(t)
	ids := make([]string, len(cases))
	for i, tt := range cases {
		f := c.upload(escape(tt.name), tt.data)
		ids[i] = c.submit(`{"type":%q,"input":{"file":%q},"params":%s}`, tt.task, f.ID, tt.params).ID
	}
	for i, tt := range cases {
		checkFailed(t, tt.name, c.finish(ids[i]), tt.code, tt.says)
	}
	// Whatever a handler had begun to write is gone: what is left are the uploads.
	for _, name := range s.traces(t).blobs {
		if !strings.Contains(name, ".") && name != "id" {
			t.Errorf("a temporary file is left: %s", name)
		}
	}
}

// checkFailed checks that a job failed for good at its first attempt.
func checkFailed(t *testing.T, what string, j job, code, says string) {
	t.Helper()
	if j.State != "failed" || j.Error == nil {
		t.Errorf("%s: %s, error %+v, want failed with %s", what, j.State, j.Error, code)
		return
	}
	if !strings.Contains("|"+code+"|", "|"+j.Error.Code+"|") || j.Error.Retryable || j.Attempt != 1 || len(j.Attempts) != 1 || len(j.Outputs) != 0 {
		t.Errorf("%s: error %+v after %d attempts with %d outputs, want %s after one without any", what, *j.Error, j.Attempt, len(j.Outputs), code)
	}
	if len(j.Error.Message) < 10 || !strings.Contains(j.Error.Message, says) || leak.MatchString(j.Error.Message) {
		t.Errorf("%s: the message %q is no help, or lacks %q", what, j.Error.Message, says)
	}
}

func badPictures(t *testing.T) []badInput {
	whole := photo(t, 640, 480)
	sof := bytes.Index(whole, []byte{0xff, 0xc0})
	vast := bytes.Clone(whole)
	binary.BigEndian.PutUint16(vast[sof+5:], 50_000)
	binary.BigEndian.PutUint16(vast[sof+7:], 50_000)
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	if w, err := z.Create("photo.jpg"); err == nil {
		_, _ = w.Write(whole)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var canvas bytes.Buffer
	one := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.Black, color.White})
	if err := gif.Encode(&canvas, one, nil); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(canvas.Bytes()[6:], 65_535)
	binary.LittleEndian.PutUint16(canvas.Bytes()[8:], 65_535)
	webp := "RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\x3f\x00\xff\x3f\x00" // 16,384 x 16,384 and nothing behind
	const small = `{"width":100}`
	bad := func(name string, data []byte, code string) badInput {
		return badInput{name, "image.resize", small, data, code, ""}
	}
	return []badInput{
		bad("says it is.jpg", []byte("this is no picture"), "unsupported_format"), bad("page.png", []byte("<html><script>alert(1)</script>"), "unsupported_format"),
		bad("archive.jpg", zipped.Bytes(), "unsupported_format"), bad("noise.webp", noise(5000), "unsupported_format"), bad("nothing.gif", nil, "unsupported_format"),
		bad("script.jpg", []byte("push graphic-context\nimage over 0,0 0,0 'https://evil.example/x'\n"), "unsupported_format"),
		bad("drawing.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>`), "unsupported_format"),
		bad("vast.jpg", vast, "too_large"), bad("vast.png", pngOf(50_000, 50_000, 16), "too_large"), bad("vast.gif", canvas.Bytes(), "too_large|corrupt"),
		bad("vast.webp", []byte(webp), "too_large|corrupt"), bad("vaster.png", pngOf(0x7fffffff, 0x7fffffff, 16), "too_large|corrupt"),
		bad("half.jpg", whole[:len(whole)/2], "corrupt"), bad("begun.jpg", whole[:3], "corrupt|unsupported_format"), bad("begun.png", []byte("\x89PNG\r\n\x1a\n"), "corrupt"),
		bad("none.png", pngOf(0, 10, 16), "corrupt"), bad("short.png", pngOf(2000, 2000, 16), "corrupt"), bad("burst.png", pngOf(10, 10, 128<<20), "corrupt"),
		{"crop.jpg", "image.resize", `{"crop":{"x":5000,"y":0,"width":10,"height":10}}`, whole, "invalid_input", ""},
	}
}

// pngOf makes a PNG that declares a size and holds so many bytes of black, compressed.
func pngOf(width, height uint32, pixels int64) []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	piece := func(name string, data []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(data)))
		body := append([]byte(name), data...)
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	piece("IHDR", append(header, 8, 2, 0, 0, 0))
	var data bytes.Buffer
	z := zlib.NewWriter(&data)
	_, _ = io.CopyN(z, zeros{}, pixels)
	_ = z.Close()
	piece("IDAT", data.Bytes())
	piece("IEND", nil)
	return b.Bytes()
}

// bombs are small files that unpack to much.
func bombs(t *testing.T) []badInput {
	t.Helper()
	var gz, members bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = io.CopyN(z, zeros{}, 64<<20)
	_ = z.Close()
	for range 10_000 { // each member is whole and holds a little
		z.Reset(&members)
		_, _ = z.Write([]byte("0123456789abcdef"))
		_ = z.Close()
	}
	var zst bytes.Buffer
	w, err := zstd.NewWriter(&zst, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(w, zeros{}, 512<<20)
	_ = w.Close()
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00} // a frame that wants a window of terabytes
	unpack := func(name, params string, data []byte, code, says string) badInput {
		return badInput{name, "file.decompress", params, data, code, says}
	}
	return []badInput{
		unpack("zeros.gz", `{"max_bytes":1048576}`, gz.Bytes(), "too_large", "1048576"), unpack("zeros.zst", `{"max_bytes":1048576}`, zst.Bytes(), "too_large", "1048576"),
		unpack("zeros.gz", `{"max_ratio":100}`, gz.Bytes(), "too_large", "max_ratio"), unpack("members.gz", `{"max_bytes":1000}`, members.Bytes(), "too_large", "1000"),
		unpack("window.zst", `{}`, window, "too_large|corrupt", ""), unpack("half.gz", `{}`, gz.Bytes()[:gz.Len()/2], "corrupt", ""),
		unpack("half.zst", `{}`, zst.Bytes()[:zst.Len()/2], "corrupt", ""), unpack("noise.gz", `{}`, noise(1000), "unsupported_format", ""),
		unpack("lies.zst", `{"codec":"zstd"}`, gz.Bytes(), "corrupt|unsupported_format", ""), unpack("empty.gz", `{}`, nil, "unsupported_format|corrupt", ""),
		unpack("tail.gz", `{}`, append(bytes.Clone(members.Bytes()[:0]), append(gzipped("ok"), "and more"...)...), "corrupt", ""),
	}
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

// badTables are no tables, or tables with a row that is none.
func badTables() []badInput {
	field := bytes.Repeat([]byte("x"), 100<<20)
	wide := []byte(strings.Repeat("c,", 200_000) + "c\n")
	stats := func(name, params string, data []byte, code, says string) badInput {
		return badInput{name, "compute.stats", params, data, code, says}
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []badInput{
		stats("short row.csv", `{}`, []byte("a,b,c\n1,2,3\n4,5\n6,7,8\n"), "invalid_input", "line 3"),
		stats("long row.csv", `{}`, []byte("a,b\n1,2\n3,4,5\n"), "invalid_input", "line 3"),
		stats("open quote.csv", `{}`, []byte("a,b\n1,\"never closed\n2,3\n"), "invalid_input|corrupt", "line 2"),
		stats("quote inside.csv", `{}`, []byte("a,b\n1,x\"y\n"), "invalid_input|corrupt", "line 2"),
		stats("100 MB in quotes.csv", `{}`, join([]byte("a,b\n1,\""), field, []byte("\"\n")), "too_large|invalid_input", "line 2"),
		stats("100 MB bare.csv", `{}`, join([]byte("a,b\n1,"), field, []byte("\n")), "too_large|invalid_input", "line 2"),
		stats("100 MB of one line.csv", `{"delimiter":","}`, field, "too_large|invalid_input", "line 1"),
		stats("many columns.csv", `{}`, wide, "too_large|invalid_input", ""),
		stats("UTF-16.csv", `{}`, []byte("\xff\xfea\x00,\x00b\x00\n\x00"), "unsupported_format|invalid_input", "UTF-16"),
		stats("Latin-1.csv", `{}`, []byte("a,b\n1,M\xfcller\n"), "invalid_input|unsupported_format|corrupt", "line 2"),
		stats("zeros.csv", `{}`, bytes.Repeat([]byte{0}, 1<<20), "invalid_input|unsupported_format|corrupt", ""),
		stats("no such column.csv", `{"columns":["z"]}`, []byte("a,b\n1,2\n"), "invalid_input", "z"),
	}
}

// races has many clients cancel, retry and delete one job at once. Each call succeeds or conflicts, and one delete alone wins.
func races(t *testing.T, s *target) {
	big := s.on(t).upload("race.bin", noise(8<<20)).ID
	for round := range 6 {
		id := s.on(t).submit(slowJob, big).ID
		var deleted atomic.Int64
		var clients sync.WaitGroup
		for i := range 12 {
			clients.Go(func() {
				for range 20 {
					method, path := "POST", "/v1/jobs/"+id+"/"+[]string{"cancel", "retry", "cancel"}[i%3]
					if i%4 == 3 {
						method, path = "DELETE", "/v1/jobs/"+id
					}
					status, _, raw, err := s.do(method, path, "", nil)
					switch {
					case err != nil:
						t.Errorf("%s %s: %v", method, path, err)
					case status == http.StatusNoContent:
						deleted.Add(1)
					case status != http.StatusOK && status != http.StatusConflict && status != http.StatusNotFound:
						t.Errorf("%s %s = %d: %.300s", method, path, status, raw)
					}
				}
			})
		}
		clients.Wait()
		status, _, raw, err := s.do("GET", "/v1/jobs/"+id, "", nil)
		if err != nil || deleted.Load() > 1 || deleted.Load() == 1 && status != http.StatusNotFound || deleted.Load() == 0 && status != http.StatusOK {
			t.Errorf("round %d: %d deletes succeeded, then the job is %d, %v: %.300s", round, deleted.Load(), status, err, raw)
		}
		if status == http.StatusOK { // it ends like any other
			var j job
			if err := json.Unmarshal(raw, &j); err != nil {
				t.Fatal(err)
			}
			j = s.on(t).finish(j.ID)
			if j.Error != nil && j.State == "failed" {
				t.Errorf("round %d: %+v", round, j)
			}
			s.on(t).call("DELETE", "/v1/jobs/"+j.ID, "", nil, http.StatusNoContent, nil)
		}
		s.refused(t, "GET", "/v1/jobs/"+id, "", "", http.StatusNotFound, "not_found")
	}
	if running := s.workers("worker"); strings.Contains(fmt.Sprint(running), big) {
		t.Errorf("workers = %+v, want them idle", running)
	}
}
