package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"mime/multipart"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// photo makes a JPEG with some content.
func photo(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(x * 255 / width), uint8(y * 255 / height), uint8((x ^ y) & 0xff), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestResizeFromUploadToDownload(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		f := s.upload("photo.jpg", photo(t, 1200, 800))
		if f.ContentType != "image/jpeg" || f.Name != "photo.jpg" {
			t.Errorf("uploaded file = %+v", f)
		}
		j := s.finish(s.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":300}}`, f.ID).ID)
		checkEnded(t, j)
		if len(j.Outputs) != 1 {
			t.Fatalf("outputs = %+v", j.Outputs)
		}
		got, err := jpeg.DecodeConfig(bytes.NewReader(s.bytes("/v1/jobs/" + j.ID + "/output")))
		if err != nil || got.Width != 300 || got.Height != 200 {
			t.Errorf("output is %dx%d (%v), want 300x200", got.Width, got.Height, err)
		}
		named := s.bytes("/v1/jobs/" + j.ID + "/outputs/" + j.Outputs[0].Name)
		if sum := sha256.Sum256(named); hex.EncodeToString(sum[:]) != j.Outputs[0].SHA256 {
			t.Error("the output's bytes are not those of its digest")
		}
	})
}

func TestCachedResult(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		data := photo(t, 640, 480)
		spec := `{"type":"image.resize","input":{"file":%q},"params":{"width":64,"format":"png"}}`
		first := s.finish(s.submit(spec, s.upload("a.jpg", data).ID).ID)
		var second job
		// The same bytes under another name and id.
		s.call("POST", "/v1/jobs", "application/json", []byte(strings.Replace(spec, "%q", `"`+s.upload("b.jpg", data).ID+`"`, 1)), http.StatusOK, &second)
		if !second.Cached || second.State != "succeeded" || second.ID == first.ID {
			t.Fatalf("second = %+v, want a cached job of its own", second)
		}
		if !bytes.Equal(s.bytes("/v1/jobs/"+first.ID+"/output"), s.bytes("/v1/jobs/"+second.ID+"/output")) {
			t.Error("the cached output differs from the first")
		}
		// An output outlives the job that computed it when another refers to the bytes.
		s.call("DELETE", "/v1/jobs/"+first.ID, "", nil, http.StatusNoContent, nil)
		if got := s.bytes("/v1/jobs/" + second.ID + "/output"); len(got) == 0 {
			t.Error("the second job's output went with the first job")
		}
		var third job
		s.call("POST", "/v1/jobs", "application/json", []byte(strings.Replace(spec, "%q", `"`+s.upload("c.jpg", data).ID+`"`, 1)), http.StatusAccepted, &third)
		if third.Cached {
			t.Error("a result was answered from a cache entry whose job is deleted")
		}
		s.finish(third.ID)
	})
}

func TestMultipartSubmitAndWait(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for name, value := range map[string]string{"type": "file.compress", "params": `{"codec":"zstd"}`, "tags": "invoice"} {
			_ = w.WriteField(name, value)
		}
		part, _ := w.CreateFormFile("file", "log.txt")
		text := bytes.Repeat([]byte("a line of a log\n"), 5000)
		_, _ = part.Write(text)
		_ = w.Close()
		var j job
		status, _, raw, err := s.do("POST", "/v1/jobs?wait=30s", w.FormDataContentType(), &body)
		if err != nil || status != http.StatusOK && status != http.StatusAccepted {
			t.Fatalf("submit = %d, %v: %s", status, err, raw)
		}
		if err := json.Unmarshal(raw, &j); err != nil {
			t.Fatal(err)
		}
		j = s.finish(j.ID)
		checkEnded(t, j)
		packed := s.bytes("/v1/jobs/" + j.ID + "/output")
		unpack := exec.Command("zstd", "-dc")
		unpack.Stdin = bytes.NewReader(packed)
		if got, err := unpack.Output(); err != nil || !bytes.Equal(got, text) {
			t.Errorf("zstd -d of the output: %v, %d bytes, want %d", err, len(got), len(text))
		}
	})
}

func TestCancelRunningJob(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		f := s.upload("big.bin", noise(64<<20))
		j := s.submit(slowJob, f.ID)
		eventually(t, 30*time.Second, "running", func() bool { return s.job(j.ID).State == "running" })
		s.call("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil, http.StatusOK, nil)
		j = s.finish(j.ID)
		if j.State != "canceled" || len(j.Outputs) != 0 {
			t.Errorf("job = %+v, want canceled without outputs", j)
		}
		s.call("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil, http.StatusConflict, nil)
		var again job
		s.call("POST", "/v1/jobs/"+j.ID+"/retry", "", nil, http.StatusOK, &again)
		if again.Run != 2 {
			t.Errorf("run after retry = %d, want 2", again.Run)
		}
		s.call("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil, http.StatusOK, nil)
		s.finish(j.ID)
	})
}

func TestBadImageFailsAtOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		whole := photo(t, 800, 600)
		for _, tt := range []struct {
			name string
			data []byte
			code string
		}{
			{"truncated", whole[:len(whole)/2], "corrupt"},
			{"text", []byte("this is no picture"), "unsupported_format"},
			{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), "unsupported_format"},
		} {
			j := s.finish(s.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":10}}`, s.upload(tt.name+".jpg", tt.data).ID).ID)
			if j.State != "failed" || j.Error == nil || j.Error.Code != tt.code || j.Error.Retryable || j.Attempt != 1 || len(j.Outputs) != 0 {
				t.Errorf("%s: state %s, attempt %d, error %+v, want failed with %s after one attempt", tt.name, j.State, j.Attempt, j.Error, tt.code)
			}
		}
	})
}
