package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// How BenchmarkImages loads each target in a round.
const (
	picturesPerRound = 60
	picturesInFlight = 4
)

// resizer is a system that makes a JPEG 800 pixels wide, quality 80, out of a photograph.
type resizer struct {
	name   string
	resize func(photo []byte) ([]byte, error)
	pids   func() []int

	serial          atomic.Int64
	rate, cpu, peak []float64 // of each round: pictures/s, CPU ms a picture, MiB
}

// BenchmarkImages resizes photographs of 12 megapixels over HTTP, the file in and the file out, by the product in both modes and by what else is
// there, in turns. Each picture has bytes of its own, so that no result cache answers. Its figures are medians; ratios are to the first peer.
func BenchmarkImages(b *testing.B) {
	photos := photographs(b)
	targets := append(products(b), peers(b)...)
	for _, t := range targets { // connections, statements and codecs are made once
		t.round(b, photos, picturesInFlight)
		t.rate, t.cpu, t.peak = nil, nil, nil
	}
	for b.Loop() {
		for _, t := range targets {
			t.round(b, photos, picturesPerRound)
		}
	}
	fmt.Println("| target | pictures/s | CPU ms a picture | peak MiB |\n| --- | ---: | ---: | ---: |")
	for _, t := range targets {
		fmt.Printf("| %s | %.1f | %.0f | %.0f |\n", t.name, median(t.rate), median(t.cpu), median(t.peak))
		b.ReportMetric(median(t.rate), t.name+"/s")
	}
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// round has n pictures resized, some at a time.
func (t *resizer) round(b *testing.B, photos [][]byte, n int) {
	b.Helper()
	done := make(chan struct{})
	var peak float64
	var all, look sync.WaitGroup
	look.Go(func() {
		for {
			peak = max(peak, float64(memoryOf(t.pids(), "Pss"))/(1<<20))
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	before, began := cpuOf(t.pids()), time.Now()
	var next atomic.Int64
	for range picturesInFlight {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				out, err := t.resize(unlike(photos[i%int64(len(photos))], t.serial.Add(1)))
				if err != nil {
					b.Errorf("%s: %v", t.name, err)
					return
				}
				if c, err := jpeg.DecodeConfig(bytes.NewReader(out)); err != nil || c.Width != 800 {
					b.Errorf("%s made %d pixels (%v), want 800", t.name, c.Width, err)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	spent := cpuOf(t.pids()) - before
	close(done)
	look.Wait()
	t.rate = append(t.rate, float64(n)/took.Seconds())
	t.cpu = append(t.cpu, float64(spent.Milliseconds())/float64(n))
	t.peak = append(t.peak, peak)
}

// unlike gives a JPEG bytes that no other has: a comment behind its first marker.
func unlike(photo []byte, serial int64) []byte {
	segment := []byte{0xFF, 0xFE, 0, 2 + 8} // its length counts itself
	return slices.Concat(photo[:2], binary.BigEndian.AppendUint64(segment, uint64(serial)), photo[2:])
}

// products are the modes of Millrace: with the helper where it is built, too.
func products(b *testing.B) []*resizer {
	var all []*resizer
	add := func(name, mode string, env ...string) {
		s := start(b, mode, append(env, "MILLRACE_LOG_LEVEL=warn")...)
		all = append(all, &resizer{name: name, pids: s.pids, resize: func(photo []byte) ([]byte, error) {
			status, _, raw, err := s.do("POST", "/v1/files?name=photo.jpg", "application/octet-stream", bytes.NewReader(photo))
			if err != nil || status != http.StatusCreated {
				return nil, fmt.Errorf("upload: %d, %v: %.200s", status, err, raw)
			}
			var f file
			if err := json.Unmarshal(raw, &f); err != nil {
				return nil, err
			}
			j := s.finish(s.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":800,"format":"jpeg","quality":80}}`, f.ID).ID)
			if j.State != "succeeded" {
				return nil, fmt.Errorf("job %s: %s", j.ID, j.State)
			}
			return s.bytes("/v1/jobs/" + j.ID + "/output"), nil
		}})
	}
	add("millrace", "production", "MILLRACE_IMAGE_ENGINE=go")
	add("millrace-embedded", "embedded", "MILLRACE_IMAGE_ENGINE=go")
	if exec.Command(filepath.Join(binaries, "millrace-vips")).Run() == nil { // one that was built without libvips says so and fails
		add("millrace-vips", "production", "MILLRACE_IMAGE_ENGINE=vips")
	}
	return all
}

// peers are the other systems that are there.
func peers(b *testing.B) []*resizer {
	var all []*resizer
	if dir := os.Getenv("MILLRACE_BENCH_PEERS"); dir != "" {
		all = append(all, sharpPeer(b, dir))
	}
	if url := os.Getenv("IMGPROXY_URL"); url != "" {
		all = append(all, imgproxyPeer(b, strings.TrimSuffix(url, "/")))
	}
	return all
}

// sharpPeer starts BullMQ with sharp and a Redis of its own.
func sharpPeer(b *testing.B, dir string) *resizer {
	b.Helper()
	redis := testenv.Redis(b)
	redisPort := strings.TrimSuffix(redis[strings.LastIndexByte(redis, ':')+1:], "/0")
	port := freePort(b)
	node := exec.Command("node", "sharp.mjs", port, redisPort, "2", "2")
	node.Dir, node.Stderr = dir, os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := node.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		for _, pid := range withChildren([]int{node.Process.Pid}) {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		_ = node.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("node said %q, %v", line, err)
	}
	return &resizer{name: "bullmq-sharp", resize: func(photo []byte) ([]byte, error) {
		return picture(http.Post("http://127.0.0.1:"+port, "image/jpeg", bytes.NewReader(photo)))
	}, pids: func() []int {
		return append(withChildren([]int{node.Process.Pid}), pidsOf("redis-server", redisPort)...)
	}}
}

// imgproxyPeer has the photographs served for an imgproxy that fetches them.
func imgproxyPeer(b *testing.B, url string) *resizer {
	b.Helper()
	var kept sync.Map
	var count atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		photo, ok := kept.Load(r.URL.Path)
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(photo.([]byte))
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close(); <-served })
	pid, _ := strconv.Atoi(os.Getenv("IMGPROXY_PID"))
	return &resizer{name: "imgproxy", resize: func(photo []byte) ([]byte, error) {
		path := fmt.Sprintf("/%d.jpg", count.Add(1))
		kept.Store(path, photo)
		defer kept.Delete(path)
		return picture(http.Get(url + "/unsafe/rs:fit:800:0/q:80/plain/http://" + l.Addr().String() + path + "@jpg"))
	}, pids: func() []int {
		if pid == 0 {
			return nil
		}
		return withChildren([]int{pid})
	}}
}

func picture(r *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", r.Status, raw)
	}
	return raw, err
}

func freePort(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// photographs are those in the directory PHOTOS, or one of 12 megapixels with texture at every scale, which takes about 3 MB as photographs do.
func photographs(b *testing.B) [][]byte {
	b.Helper()
	var all [][]byte
	paths, _ := filepath.Glob(filepath.Join(os.Getenv("PHOTOS"), "*.jpg"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, raw)
	}
	if len(all) > 0 {
		return all
	}
	const w, h = 4032, 3024
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	grain := noise(w * h)
	for y := range h {
		for x := range w {
			light := 128 + 60*math.Sin(float64(x)/310+math.Sin(float64(y)/170)) + 30*math.Sin(float64(y*x)/9e5) + 12*math.Sin(float64(x+3*y)/23)
			m.Y[y*m.YStride+x] = uint8(min(255, max(0, light+float64(grain[y*w+x]%14))))
		}
	}
	for y := range h / 2 {
		for x := range w / 2 {
			m.Cb[y*m.CStride+x] = uint8(128 + 40*math.Sin(float64(x+y)/200))
			m.Cr[y*m.CStride+x] = uint8(128 + 40*math.Cos(float64(x-y)/260))
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	b.Logf("the photograph has %d kB", out.Len()>>10)
	return [][]byte{out.Bytes()}
}
