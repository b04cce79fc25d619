package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/millrace/millrace/tasks"
)

// heapBound is what a handler may hold on the heap, garbage included. It is meant to be generous; an input held whole exceeds it many times.
const heapBound = 160 << 20

// heapWatch samples the heap from within the reads of an input, so that the samples fall where the work is.
type heapWatch struct {
	in    io.Reader
	every int64
	since int64
	base  uint64
	peak  uint64
}

func watchHeap(in io.Reader, every int64) *heapWatch {
	runtime.GC()
	w := &heapWatch{in: in, every: every}
	w.base = heapNow()
	return w
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (w *heapWatch) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	if w.since += int64(n); w.since >= w.every {
		w.since = 0
		w.peak = max(w.peak, heapNow())
	}
	return n, err
}

// TestConstantMemory moves inputs through the handlers that are many times larger than what they may hold. It does not run beside others: the
// heap is the process's.
func TestConstantMemory(t *testing.T) {
	const gib = 1 << 30
	log := text(1 << 20)
	zeros := packZstd(t, make([]byte, 64<<20))
	for _, tc := range []struct {
		name, typ, params string
		pattern           []byte
		size              int64
	}{
		{"gzip", "file.compress", `{"codec":"gzip","level":"fastest"}`, log, gib / 4},
		{"zstd", "file.compress", `{"codec":"zstd"}`, log, gib},
		{"zstd best", "file.compress", `{"codec":"zstd","level":"best"}`, log, gib / 4},
		{"s2", "file.compress", `{"codec":"s2"}`, log, gib / 2},
		{"decompress to many times the input", "file.decompress", `{}`, zeros, 16 * int64(len(zeros))},
		{"decompress", "file.decompress", `{"codec":"gzip"}`, packGzip(t, log), gib / 16},
		{"checksum", "compute.checksum", allAlgorithms, log, gib / 4},
		{"stats", "compute.stats", `{}`, []byte("1,mill,2025-01-01,0.25\n"), gib / 16},
	} {
		t.Run(tc.name, func(t *testing.T) {
			typ := typeOf(t, tc.typ)
			params, err := typ.Decode(json.RawMessage(tc.params))
			if err != nil {
				t.Fatal(err)
			}
			size := tc.size
			if testing.Short() || raceDetector {
				size /= 32
			}
			size = max(size-size%int64(len(tc.pattern)), int64(len(tc.pattern))) // whole members, frames and rows
			in := watchHeap(newRepeat(tc.pattern, size), max(size/200, 1))
			host := &streamHost{size: size, name: "x", in: in}
			if _, err := typ.Run(t.Context(), host.call(1), params); err != nil {
				t.Fatal(err)
			}
			if host.read.Load() != size {
				t.Errorf("read %d of %d bytes", host.read.Load(), size)
			}
			if in.peak == 0 || in.peak > in.base+heapBound {
				t.Errorf("heap rose from %d to %d MiB on %d MiB of input, want at most %d MiB more", in.base>>20, in.peak>>20, size>>20, heapBound>>20)
			}
			t.Logf("heap rose from %d to at most %d MiB on %d MiB of input", in.base>>20, in.peak>>20, size>>20)
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	data := text(8 << 20)
	for _, codec := range codecs {
		for _, level := range levels {
			b.Run(codec+"/"+level, func(b *testing.B) {
				benchmark(b, "file.compress", fmt.Sprintf(`{"codec":%q,"level":%q}`, codec, level), data, len(data))
			})
		}
	}
}

// BenchmarkDecompress counts the bytes that come out.
func BenchmarkDecompress(b *testing.B) {
	data := text(8 << 20)
	for codec, packed := range map[string][]byte{tasks.Gzip: packGzip(b, data), tasks.Zstd: packZstd(b, data), tasks.S2: packS2(b, data)} {
		b.Run(codec, func(b *testing.B) { benchmark(b, "file.decompress", `{}`, packed, len(data)) })
	}
}

func BenchmarkChecksum(b *testing.B) {
	data := noise(8 << 20)
	for _, algorithm := range []string{"sha256", "sha1", "md5", "blake3", "xxh3", "crc32"} {
		b.Run(algorithm, func(b *testing.B) {
			benchmark(b, "compute.checksum", fmt.Sprintf(`{"algorithms":[%q]}`, algorithm), data, len(data))
		})
	}
}

func benchmark(b *testing.B, name, params string, data []byte, size int) {
	typ := typeOf(b, name)
	canonical, err := typ.Decode(json.RawMessage(params))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		host := &streamHost{size: int64(len(data)), name: "x", in: bytes.NewReader(data)}
		if _, err := typ.Run(context.Background(), host.call(1), canonical); err != nil {
			b.Fatal(err)
		}
	}
}
