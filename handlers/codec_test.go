package handlers_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

var (
	codecs = []string{tasks.Gzip, tasks.Zstd, tasks.S2}
	levels = []string{"fastest", "default", "better", "best"}
	suffix = map[string]string{tasks.Gzip: ".gz", tasks.Zstd: ".zst", tasks.S2: ".s2"}
)

// text is n bytes that compress about as a log does.
func text(n int) []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"ms":%.3f,"path":"/mill/%d"}`+"\n", i, r.Float64()*100, r.IntN(50))
	}
	return b.Bytes()[:n]
}

// noise is n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	chacha := rand.NewChaCha8([32]byte{7})
	_, _ = chacha.Read(b)
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func TestCompressRoundTrip(t *testing.T) {
	t.Parallel()
	inputs := map[string][]byte{"empty": {}, "one byte": {'x'}, "text": text(600_000), "noise": noise(300_000), "zeros": make([]byte, 3<<20)}
	for _, codec := range codecs {
		for _, level := range levels {
			for name, data := range inputs {
				t.Run(codec+"/"+level+"/"+name, func(t *testing.T) {
					t.Parallel()
					params := fmt.Sprintf(`{"codec":%q,"level":%q}`, codec, level)
					got, host, err := run[tasks.CompressResult](t, "file.compress", params, taskstest.Input{Name: "log.json", Data: data})
					if err != nil {
						t.Fatal(err)
					}
					file, packed := onlyOutput(t, host)
					if want := "log.json" + suffix[codec]; file != want {
						t.Errorf("output %q, want %q", file, want)
					}
					if got.InBytes != int64(len(data)) || got.OutBytes != int64(len(packed)) || got.SHA256 != sum(packed) {
						t.Errorf("result = %+v, want %d bytes in, %d out, sha256 %s", got, len(data), len(packed), sum(packed))
					}
					if limit := len(data) + len(data)/1000 + 1024; len(packed) > limit {
						t.Errorf("%d bytes became %d, want at most %d", len(data), len(packed), limit)
					}
					checkUnpacks(t, codec, packed, data)
				})
			}
		}
	}
}

// checkUnpacks undoes the compression with our own handler and, where it is installed, with the stock tool.
func checkUnpacks(t *testing.T, codec string, packed, data []byte) {
	t.Helper()
	back, host, err := run[tasks.DecompressResult](t, "file.decompress", `{}`, taskstest.Input{Name: "log.json" + suffix[codec], Data: packed})
	if err != nil {
		t.Fatal(err)
	}
	file, got := onlyOutput(t, host)
	if file != "log.json" || !bytes.Equal(got, data) {
		t.Errorf("file.decompress gave %d bytes as %q, want the %d of log.json", len(got), file, len(data))
	}
	want := tasks.DecompressResult{InBytes: int64(len(packed)), OutBytes: int64(len(data)), Codec: codec, SHA256: sum(data)}
	if back != want {
		t.Errorf("result = %+v, want %+v", back, want)
	}
	tool, err := exec.LookPath(codec)
	if err != nil || codec == tasks.S2 {
		return
	}
	cmd := exec.CommandContext(t.Context(), tool, "-d", "-c")
	cmd.Stdin = bytes.NewReader(packed)
	stock, err := cmd.Output()
	if err != nil || !bytes.Equal(stock, data) {
		t.Errorf("%s -d: %v, %d bytes, want %d", codec, err, len(stock), len(data))
	}
}

func TestCompressGzipHeaderHoldsNoTime(t *testing.T) {
	t.Parallel()
	_, host, err := run[tasks.CompressResult](t, "file.compress", `{"codec":"gzip"}`, taskstest.Input{Name: "a", Data: text(1000)})
	if err != nil {
		t.Fatal(err)
	}
	_, packed := onlyOutput(t, host)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if mtime := binary.LittleEndian.Uint32(packed[4:8]); mtime != 0 || z.Name != "" || z.Comment != "" || len(z.Extra) != 0 {
		t.Errorf("gzip header = %+v, mtime %d, want nothing in it", z.Header, mtime)
	}
}

func TestCompressNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 127) // 254 bytes
	for name, want := range map[string]string{
		"": "output.zst", "a": "a.zst", "a.gz": "a.gz.zst", long: strings.Repeat("é", 125) + ".zst",
	} {
		_, host, err := run[tasks.CompressResult](t, "file.compress", `{}`, taskstest.Input{Name: name, Data: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := onlyOutput(t, host); got != want {
			t.Errorf("output of %q = %q, want %q", name, got, want)
		}
	}
}

func TestDecompressNames(t *testing.T) {
	t.Parallel()
	packed := packGzip(t, []byte("x"))
	for name, want := range map[string]string{
		"": "output.out", "a": "a.out", "a.GZ": "a", "a.tgz": "a.tar", "a.tar.gz": "a.tar", ".gz": ".gz.out", "a.zst": "a.zst.out", "é.gz": "é",
		"a .gz": "a", "..gz": "output", ". .gz": "output",
	} {
		_, host, err := run[tasks.DecompressResult](t, "file.decompress", `{}`, taskstest.Input{Name: name, Data: packed})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := onlyOutput(t, host); got != want {
			t.Errorf("output of %q = %q, want %q", name, got, want)
		}
	}
}

func TestBrotliIsNotAvailable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"file.compress", "file.decompress"} {
		_, err := typeOf(t, name).Decode(json.RawMessage(`{"codec":"brotli"}`))
		e, ok := errors.AsType[*millrace.Error](err)
		if !ok || e.Kind != millrace.Invalid || e.Code != millrace.CodeNotAvailable || len(e.Fields) != 1 || e.Fields[0].Pointer != "/params/codec" {
			t.Errorf("%s with brotli: %#v, want not_available at /params/codec", name, err)
		}
	}
}

func packGzip(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	return packed(t, &b, gzip.NewWriter(&b), data)
}

func packZstd(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithZeroFrames(true)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return packed(t, &b, z, data)
}

func packS2(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	return packed(t, &b, s2.NewWriter(&b), data)
}

func packed(t testing.TB, b *bytes.Buffer, w io.WriteCloser, data []byte) []byte {
	t.Helper()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// join makes one input of several parts.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestDecompressAccepts(t *testing.T) {
	t.Parallel()
	a, b := text(100_000), text(70_000)
	skippable := join([]byte{0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0}, []byte("abc"))
	for _, tc := range []struct {
		name, params, codec string
		data, want          []byte
	}{
		{"gzip", `{}`, "gzip", packGzip(t, a), a},
		{"gzip by name", `{"codec":"gzip"}`, "gzip", packGzip(t, a), a},
		{"gzip of nothing", `{}`, "gzip", packGzip(t, nil), nil},
		{"gzip members", `{}`, "gzip", join(packGzip(t, a), packGzip(t, nil), packGzip(t, b)), join(a, b)},
		{"gzip many empty members", `{}`, "gzip", bytes.Repeat(packGzip(t, nil), 20_000), nil},
		{"one layer only", `{}`, "gzip", packGzip(t, packGzip(t, a)), packGzip(t, a)},
		{"zstd", `{}`, "zstd", packZstd(t, a), a},
		{"zstd of nothing", `{}`, "zstd", packZstd(t, nil), nil},
		{"zstd frames", `{}`, "zstd", join(packZstd(t, a), packZstd(t, nil), packZstd(t, b)), join(a, b)},
		{"zstd skippable frames", `{}`, "zstd", join(skippable, packZstd(t, a), skippable, packZstd(t, b), skippable), join(a, b)},
		{"zstd larger window later", `{}`, "zstd", join(packZstd(t, a, zstd.WithWindowSize(1<<10)), packZstd(t, b, zstd.WithWindowSize(32<<20), zstd.WithSingleSegment(false))), join(a, b)},
		{"s2", `{}`, "s2", packS2(t, a), a},
		{"s2 streams", `{}`, "s2", join(packS2(t, a), packS2(t, b)), join(a, b)},
		{"exactly max_bytes", `{"max_bytes":100000}`, "gzip", packGzip(t, a), a},
		{"ratio of a small file does not matter", `{"max_ratio":2}`, "gzip", packGzip(t, make([]byte, 1<<20)), make([]byte, 1<<20)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, host, err := run[tasks.DecompressResult](t, "file.decompress", tc.params, taskstest.Input{Name: "x", Data: tc.data})
			if err != nil {
				t.Fatal(err)
			}
			_, out := onlyOutput(t, host)
			want := tasks.DecompressResult{InBytes: int64(len(tc.data)), OutBytes: int64(len(tc.want)), Codec: tc.codec, SHA256: sum(tc.want)}
			if got != want || !bytes.Equal(out, tc.want) {
				t.Errorf("result = %+v, want %+v; outputs equal: %v", got, want, bytes.Equal(out, tc.want))
			}
		})
	}
}

// flip changes one byte.
func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 0x55
	return data
}

func TestDecompressRefuses(t *testing.T) {
	t.Parallel()
	a := text(100_000)
	gz, zs, s := packGzip(t, a), packZstd(t, a), packS2(t, a)
	for _, tc := range []struct {
		name, params string
		data         []byte
		want         millrace.Code
		says         string
	}{
		{"nothing", `{}`, nil, millrace.CodeUnsupportedFormat, "empty"},
		{"one byte", `{}`, []byte("x"), millrace.CodeUnsupportedFormat, "not compressed"},
		{"text", `{}`, a, millrace.CodeUnsupportedFormat, "not compressed"},
		{"other codec", `{"codec":"zstd"}`, gz, millrace.CodeUnsupportedFormat, "no zstd"},
		{"gzip magic only", `{}`, gz[:2], millrace.CodeCorrupt, "truncated"},
		{"gzip truncated", `{}`, gz[:len(gz)/2], millrace.CodeCorrupt, "truncated"},
		{"gzip without the last byte", `{}`, gz[:len(gz)-1], millrace.CodeCorrupt, "truncated"},
		{"gzip second member truncated", `{}`, join(gz, gz[:20]), millrace.CodeCorrupt, "truncated"},
		{"gzip checksum", `{}`, flip(gz, -8), millrace.CodeCorrupt, "checksum"},
		{"gzip length", `{}`, flip(gz, -1), millrace.CodeCorrupt, "checksum"},
		{"gzip trailing garbage", `{}`, join(gz, []byte("garbage at the end")), millrace.CodeCorrupt, "something else follows"},
		{"gzip trailing zeros", `{}`, join(gz, make([]byte, 512)), millrace.CodeCorrupt, "something else follows"},
		{"zstd magic only", `{}`, zs[:4], millrace.CodeCorrupt, "truncated"},
		{"zstd truncated", `{}`, zs[:len(zs)/2], millrace.CodeCorrupt, "truncated"},
		{"zstd without the last byte", `{}`, zs[:len(zs)-1], millrace.CodeCorrupt, "truncated"},
		{"zstd checksum", `{}`, flip(zs, -1), millrace.CodeCorrupt, "checksum"},
		{"zstd trailing garbage", `{}`, join(zs, []byte("garbage at the end")), millrace.CodeCorrupt, "something else follows"},
		{"zstd window of gigabytes", `{}`, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xb8, 0x01, 0x00, 0x00}, millrace.CodeTooLarge, "window"},
		{"zstd claims too much", `{"max_bytes":99999}`, packZstd(t, a, zstd.WithSingleSegment(true)), millrace.CodeTooLarge, "99999"},
		{"s2 truncated", `{}`, s[:len(s)/2], millrace.CodeCorrupt, "damaged"},
		{"s2 checksum", `{}`, flip(s, 14), millrace.CodeCorrupt, "checksum"},
		{"one byte too much", `{"max_bytes":99999}`, gz, millrace.CodeTooLarge, "99999"},
		{"gzip bomb", `{"max_bytes":1048576}`, packGzip(t, make([]byte, 64<<20)), millrace.CodeTooLarge, "1048576"},
		{"zstd bomb", `{"max_bytes":1048576}`, packZstd(t, make([]byte, 64<<20)), millrace.CodeTooLarge, "1048576"},
		{"s2 bomb", `{"max_bytes":1048576}`, packS2(t, make([]byte, 64<<20)), millrace.CodeTooLarge, "1048576"},
		{"ratio", `{"max_ratio":100}`, packGzip(t, make([]byte, 64<<20)), millrace.CodeTooLarge, "max_ratio"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, host, err := run[tasks.DecompressResult](t, "file.decompress", tc.params, taskstest.Input{Name: "x", Data: tc.data})
			if codeOf(err) != tc.want || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("error = %v (code %q), want code %q and %q", err, codeOf(err), tc.want, tc.says)
			}
			if !codeOf(err).Permanent() {
				t.Errorf("code %q is tried again", codeOf(err))
			}
			if _, peak := host.Reserved(); peak > 160<<20 {
				t.Errorf("reserved %d bytes", peak)
			}
		})
	}
}

// TestDecompressTellsTheStoreFromTheInput holds that an input which breaks off in the store is tried again: codecs see the same error for it as
// for a truncated file.
func TestDecompressTellsTheStoreFromTheInput(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"gzip": packGzip(t, text(3<<20)), "zstd": packZstd(t, noise(3<<20)), "s2": packS2(t, noise(3<<20))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ := typeOf(t, "file.decompress")
			params, err := typ.Decode(nil)
			if err != nil {
				t.Fatal(err)
			}
			broken := io.MultiReader(bytes.NewReader(data[:len(data)/2]), brokenReader{io.ErrUnexpectedEOF})
			host := &streamHost{size: int64(len(data)), name: "x", in: broken}
			_, err = typ.Run(t.Context(), host.call(1), params)
			if !errors.Is(err, io.ErrUnexpectedEOF) || codeOf(err) != "" {
				t.Errorf("error = %v (code %q), want the store's own error without a code", err, codeOf(err))
			}
			if host.closed.Load() != 0 {
				t.Error("completed an output")
			}
		})
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestAShortInputIsNeverTakenForTheWhole(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"file.compress", "compute.checksum", "compute.stats"} {
		for what, in := range map[string]io.Reader{
			"early end": strings.NewReader("mill\n1\n"),
			"error":     io.MultiReader(strings.NewReader("mill\n1\n"), brokenReader{io.ErrUnexpectedEOF}),
		} {
			typ := typeOf(t, name)
			params, err := typ.Decode(nil)
			if err != nil {
				t.Fatal(err)
			}
			host := &streamHost{size: 2000, name: "x", in: in}
			if _, err := typ.Run(t.Context(), host.call(1), params); err == nil || codeOf(err) != "" || host.closed.Load() != 0 {
				t.Errorf("%s on an input with an %s: %v, %d outputs completed, want an error that is tried again", name, what, err, host.closed.Load())
			}
		}
	}
}

// FuzzDecompress holds that whatever the bytes are, the handler answers with the whole output or a permanent error, within its bounds.
func FuzzDecompress(f *testing.F) {
	small := text(300)
	for _, seed := range [][]byte{nil, small, packGzip(f, small), packZstd(f, small), packS2(f, small), packGzip(f, make([]byte, 1<<20)),
		join(packGzip(f, small), packGzip(f, small)), join(packZstd(f, small), packZstd(f, small)), {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}} {
		f.Add(seed)
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, data []byte) {
		got, host, err := run[tasks.DecompressResult](t, "file.decompress", fmt.Sprintf(`{"max_bytes":%d}`, limit), taskstest.Input{Name: "x", Data: data})
		if err != nil {
			if !codeOf(err).Permanent() {
				t.Fatalf("error %v has code %q, want a permanent one", err, codeOf(err))
			}
			return
		}
		_, out := onlyOutput(t, host)
		if int64(len(out)) != got.OutBytes || len(out) > limit || got.SHA256 != sum(out) {
			t.Fatalf("result %+v for %d bytes", got, len(out))
		}
	})
}
