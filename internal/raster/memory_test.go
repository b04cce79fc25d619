package raster_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// What a job may take beyond what it reserved, and what it may reserve beyond what it takes.
const (
	mostOver  = 1.15
	mostAsked = 2.5
)

// probeVariable makes the test binary measure one job and nothing else: its value is the directory with the input and the parameters.
const probeVariable = "MILLRACE_TEST_MEMORY_PROBE"

func TestMain(m *testing.M) {
	dir := os.Getenv(probeVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := probe(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measured is what a job reserved, and what its process grew by at most.
type measured struct{ Reserved, Used int64 }

// probe runs one job in this process, which has done nothing but a tiny one before, so that the program itself does not count.
func probe(dir string) error {
	var p tasks.ResizeParams
	data, err := os.ReadFile(filepath.Join(dir, "input"))
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "params"))
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return err
	}
	if err := runProbed(new(taskstest.Host), flatJPEG(64, 64, false, 0), tasks.Resize().Defaults); err != nil {
		return fmt.Errorf("the tiny job: %w", err)
	}
	debug.FreeOSMemory()
	before, err := resident("VmRSS:")
	if err == nil {
		err = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // VmHWM begins anew
	}
	if err != nil {
		return err
	}
	host := new(taskstest.Host)
	if err := runProbed(host, data, p); err != nil {
		return err
	}
	after, err := resident("VmHWM:")
	if err != nil {
		return err
	}
	_, reserved := host.Reserved()
	return json.NewEncoder(os.Stdout).Encode(measured{Reserved: reserved, Used: after - before})
}

// runProbed throws the output away, which the product writes to a disk.
func runProbed(host *taskstest.Host, data []byte, p tasks.ResizeParams) error {
	_, err := raster.New().Resize(context.Background(), host.Call(taskstest.Input{Name: "in", Data: data}), p, func(string, string) (io.WriteCloser, error) {
		return nowhere{}, nil
	})
	return err
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }

func resident(field string) (int64, error) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/self/status", field)
}

// measure runs a job alone in a fresh process.
func measure(t testing.TB, data []byte, p tasks.ResizeParams) measured {
	t.Helper()
	dir := t.TempDir()
	raw, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "params"), raw, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "input"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), probeVariable+"="+dir)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("the measuring process: %v\n%s", err, complaint.String())
	}
	var m measured
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatalf("the measuring process said %q: %v", out.String(), err)
	}
	return m
}

// TestReservedMemory holds what jobs reserve to what they take, each alone in a process.
func TestReservedMemory(t *testing.T) {
	if raceDetector {
		t.Log("not measured: the race detector takes memory of its own")
		return
	}
	for _, tt := range memoryCases() {
		t.Run(tt.name, func(t *testing.T) {
			m := measure(t, tt.data(t), tt.params)
			const mib = 1 << 20
			t.Logf("reserved %d MiB, took %d MiB: %.2f of it", m.Reserved/mib, m.Used/mib, float64(m.Used)/float64(m.Reserved))
			if float64(m.Used) > mostOver*float64(m.Reserved) {
				t.Errorf("it took %d bytes, more than the %d that it reserved and 15 %%", m.Used, m.Reserved)
			}
			if float64(m.Reserved) > mostAsked*float64(m.Used) {
				t.Errorf("it reserved %d bytes, more than 2.5 times the %d that it took", m.Reserved, m.Used)
			}
		})
	}
}

type memoryCase struct {
	name   string
	data   func(testing.TB) []byte
	params tasks.ResizeParams
}

func memoryCases() []memoryCase {
	to := func(width int, format string) tasks.ResizeParams {
		return params(func(p *tasks.ResizeParams) { p.Width, p.Format = width, format })
	}
	jpeg := func(w, h int, progressive bool) func(testing.TB) []byte {
		return func(testing.TB) []byte { return flatJPEG(w, h, progressive, w*h*3/10) }
	}
	grain := func(t testing.TB) []byte {
		return encodeJPEG(t, noise(4032, 3024), jpegn.EncodeOptions{Quality: 80, Subsampling: jpegn.Subsample420})
	}
	png := func(w, h int, depth, kind byte) func(testing.TB) []byte {
		return func(testing.TB) []byte { return flatPNG(w, h, depth, kind) }
	}
	return []memoryCase{
		{"12 MP baseline JPEG to 800 px", jpeg(4032, 3024, false), to(800, "")},
		{"12 MP baseline JPEG to 200 px", jpeg(4032, 3024, false), to(200, "")},
		{"12 MP baseline JPEG to 2000 px", jpeg(4032, 3024, false), to(2000, "")},
		{"12 MP baseline JPEG to 800 px PNG", jpeg(4032, 3024, false), to(800, "png")},
		{"12 MP progressive JPEG to 800 px", jpeg(4032, 3024, true), to(800, "")},
		{"12 MP PNG to 800 px", png(4032, 3024, 8, 2), to(800, "")},
		{"12 MP PNG with transparency to 800 px", png(4032, 3024, 8, 6), to(800, "")},
		{"12 MP PNG of 16 bits to 800 px JPEG", png(4032, 3024, 16, 2), to(800, "jpeg")},
		{"12 MP baseline JPEG at full size", jpeg(4032, 3024, false), to(0, "")},
		{"12 MP baseline JPEG at full size as PNG", jpeg(4032, 3024, false), to(0, "png")},
		{"12 MP noise to 2000 px", grain, to(2000, "")},
		{"12 MP noise at full size", grain, to(0, "")},
		{"12 MP noise to 800 px PNG", grain, to(800, "png")},
		{"12 MP baseline JPEG turned to 2000 px, all effects", jpeg(4032, 3024, false), params(func(p *tasks.ResizeParams) {
			p.Width, p.Rotate, p.Blur, p.Sharpen, p.Grayscale = 2000, 90, 2, 1, true
		})},
		{"12 MP baseline JPEG at full size, progressive", jpeg(4032, 3024, false), params(func(p *tasks.ResizeParams) { p.Progressive = true })},
		{"12 MP noise at full size, progressive", grain, params(func(p *tasks.ResizeParams) { p.Progressive = true })},
		{"12 MP noise blurred and sharpened, all colours", grain, params(func(p *tasks.ResizeParams) { p.Width, p.Blur, p.Sharpen, p.Subsampling = 1900, 2, 1, "4:4:4" })},
		{"12 MP PNG blurred", png(4032, 3024, 8, 6), params(func(p *tasks.ResizeParams) { p.Width, p.Blur = 2000, 20 })},
		{"12 MP baseline JPEG tilted to 1600 px", jpeg(4032, 3024, false), params(func(p *tasks.ResizeParams) { p.Width, p.Rotate = 1600, 30 })},
		{"12 MP PNG in linear light to 1600 px", png(4032, 3024, 8, 6), params(func(p *tasks.ResizeParams) { p.Width, p.Linear = 1600, true })},
		{"12 MP PNG laid on a canvas, as GIF", png(4032, 3024, 8, 6), params(func(p *tasks.ResizeParams) {
			p.Width, p.Height, p.Fit, p.Format = 1600, 1600, "contain", "gif"
		})},
		{"12 MP PNG to 4 variants", png(4032, 3024, 8, 2), params(func(p *tasks.ResizeParams) {
			for _, width := range []int{3000, 2400, 1200, 800} {
				v := tasks.Variant{Name: strconv.Itoa(width), ResizeParams: tasks.Resize().Defaults}
				v.Width = width
				p.Variants = append(p.Variants, v)
			}
		})},
		{"12 MP baseline JPEG to 800 px WebP", jpeg(4032, 3024, false), to(800, "webp")},
		{"12 MP baseline JPEG to 2400 px WebP", jpeg(4032, 3024, false), to(2400, "webp")},
		{"12 MP baseline JPEG to 800 px AVIF", jpeg(4032, 3024, false), to(800, "avif")},
		{"12 MP baseline JPEG to 2400 px AVIF", jpeg(4032, 3024, false), to(2400, "avif")},
		{"12 MP baseline JPEG to 2000 px TIFF", jpeg(4032, 3024, false), to(2000, "tiff")},
		{"100 MP baseline JPEG to 800 px", jpeg(11584, 8632, false), to(800, "")},
		{"100 MP progressive JPEG to 800 px", jpeg(11584, 8632, true), to(800, "")},
		{"100 MP PNG to 800 px", png(11584, 8632, 8, 2), to(800, "")},
	}
}

// flatJPEG makes a grey JPEG with halved chroma whose every block is two or three bits: what it takes to decode is what any other of its size
// takes. extra bytes of comments make it as large as one with a content.
func flatJPEG(w, h int, progressive bool, extra int) []byte {
	var b bytes.Buffer
	segment := func(marker byte, body ...byte) {
		b.Write([]byte{0xff, marker})
		_ = binary.Write(&b, binary.BigEndian, uint16(len(body)+2))
		b.Write(body)
	}
	b.Write([]byte{0xff, 0xd8})
	for ; extra > 0; extra -= 65000 {
		segment(0xfe, make([]byte, min(extra, 65000))...)
	}
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	sof := byte(0xc0)
	if progressive {
		sof = 0xc2
	}
	segment(sof, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0)
	for _, class := range []byte{0x00, 0x10} { // one code of one bit: no difference, end of block
		segment(0xc4, append(append([]byte{class, 1}, make([]byte, 15)...), 0)...)
	}
	scan := func(bits int, head ...byte) {
		segment(0xda, head...)
		b.Write(make([]byte, (bits+7)/8))
	}
	mcus := ((w + 15) / 16) * ((h + 15) / 16)
	if !progressive {
		scan(mcus*6*2, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0)
	} else {
		scan(mcus*6, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0)
		for i, sub := range []int{8, 16, 16} {
			scan(((w+sub-1)/sub)*((h+sub-1)/sub), 1, byte(i+1), 0, 1, 63, 0)
		}
	}
	b.Write([]byte{0xff, 0xd9})
	return b.Bytes()
}

// noise makes a picture that no encoder gets small.
func noise(w, h int) image.Image {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(m.Y)
	_, _ = random.Read(m.Cb)
	_, _ = random.Read(m.Cr)
	return m
}

// flatPNG makes a black PNG: kind is 2 for RGB and 6 for RGBA.
func flatPNG(w, h int, depth, kind byte) []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, data []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(data)))
		body := append([]byte(name), data...)
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	chunk("IHDR", append(head, depth, kind, 0, 0, 0))
	var packed bytes.Buffer
	z, _ := zlib.NewWriterLevel(&packed, zlib.BestSpeed)
	channels := map[byte]int{2: 3, 6: 4}[kind]
	row := make([]byte, 1+w*channels*int(depth)/8)
	for range h {
		_, _ = z.Write(row)
	}
	_ = z.Close()
	chunk("IDAT", packed.Bytes())
	chunk("IEND", nil)
	return b.Bytes()
}

// A large picture whose job is stopped at some look at its context, perhaps while a decoder cannot be stopped: the job ends with the cause, and the
// memory is given back, if only later.
func TestLargePictureIsStopped(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stopped by the test")
	data := flatJPEG(5000, 4000, false, 0)
	for _, left := range []int{1, 2, 3, 4, 5, 6} {
		ctx, cancel := context.WithCancelCause(t.Context())
		host := &stopHost{Host: new(taskstest.Host), left: left, stop: func() { cancel(errStop) }}
		call := tasks.NewCall(host, host.Call(taskstest.Input{Name: "in", Data: data}).Inputs())
		_, err := raster.New().Resize(ctx, call, params(func(p *tasks.ResizeParams) { p.Width = 100 }), func(string, string) (io.WriteCloser, error) {
			return nowhere{}, nil
		})
		cancel(nil)
		if !errors.Is(err, errStop) {
			t.Errorf("stopped at look %d: %v, want the context's cause", left, err)
		}
		tick := time.NewTicker(time.Millisecond)
		for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
			if now, _ := host.Reserved(); now == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the memory is not given back")
			}
		}
		tick.Stop()
	}
}
