package raster_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/internal/raster/order"
	"github.com/millrace/millrace/internal/vips"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// TestHelpersThatFail do not fail a picture: it is done in Go, at the same attempt.
func TestHelpersThatFail(t *testing.T) {
	t.Parallel()
	data := encodeJPEG(t, scene(300, 200), jpegn.EncodeOptions{})
	hello := order.Hello{Name: "vips", Version: "0", Reads: []string{"jpeg"}, Writes: []string{"jpeg"}}
	for name, n := range map[string]*fakeNative{
		"out of order":   {helloErr: vips.ErrOff},
		"died":           {hello: hello, err: vips.ErrDied},
		"another format": {hello: order.Hello{Name: "vips", Reads: []string{"png"}}, err: errors.New("asked though it said no")},
		"read half":      {hello: hello, err: vips.ErrRefused, read: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := resize(t.Context(), raster.New().With(n), data, params(func(p *tasks.ResizeParams) { p.Width = 100 }))
			if err != nil || out.Engine != raster.Name {
				t.Fatalf("%v by %q, want a picture by %s", err, out.Engine, raster.Name)
			}
			want, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 100 }))
			if got := ssim(want, decodeOutput(t, out)); got != 1 {
				t.Errorf("SSIM %v to what Go makes", got)
			}
		})
	}
}

// TestTheContextEndsAtAHelper ends the job with the context's reason, and does not begin anew in Go.
func TestTheContextEndsAtAHelper(t *testing.T) {
	t.Parallel()
	data := encodeJPEG(t, scene(300, 200), jpegn.EncodeOptions{})
	reason := errors.New("canceled")
	ctx, cancel := context.WithCancelCause(t.Context())
	n := &fakeNative{hello: order.Hello{Name: "vips", Reads: []string{"jpeg"}}, err: vips.ErrDied, before: func() { cancel(reason) }}
	if _, err := resize(ctx, raster.New().With(n), data, params(nil)); !errors.Is(err, reason) {
		t.Errorf("%v, want the context's cause", err)
	}
}

// TestALargeInputGoesByItsPath keeps what is larger than a frame out of the pipe, where it is a file.
func TestALargeInputGoesByItsPath(t *testing.T) {
	t.Parallel()
	other := withVips(t)
	photo := encodeJPEG(t, scene(640, 480), jpegn.EncodeOptions{})
	// Comments behind the first marker: as large as it takes, and as quick to decode as before.
	comment := append([]byte{0xFF, 0xFE, 0xFF, 0xFF}, make([]byte, 0xFFFD)...)
	data := slices.Concat(photo[:2], bytes.Repeat(comment, order.MaxInput/len(comment)+1), photo[2:])
	file := filepath.Join(t.TempDir(), "large.jpg")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path   string
		native bool
	}{{file, true}, {"", false}, {filepath.Join(t.TempDir(), "missing"), false}} {
		host := &fileHost{path: tt.path}
		out, err := resizeHosted(t.Context(), &host.Host, host, other, data, params(func(p *tasks.ResizeParams) { p.Width = 200 }))
		if err != nil || native(out) != tt.native {
			t.Errorf("path %q: %v by %q, want by libvips %t", tt.path, err, out.Engine, tt.native)
		}
	}
}

// TestWhatIsNotOffered stays here although a helper says that it reads the format.
func TestWhatIsNotOffered(t *testing.T) {
	t.Parallel()
	flat := encodePNG(t, quadrants(40, 40))
	all := order.Hello{Name: "vips", Reads: []string{"jpeg", "png", "gif", "webp"}}
	for name, data := range map[string][]byte{
		"a PNG with more than its pixels": withChunk(flat, "juNk", make([]byte, 16<<10)),
		"inks":                            readFile(t, "testdata/cmyk.jpg"),
	} {
		n := &fakeNative{hello: all, before: func() { t.Errorf("%s was offered", name) }, err: vips.ErrRefused}
		if _, err := resize(t.Context(), raster.New().With(n), data, params(nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	asked := false
	n := &fakeNative{hello: all, before: func() { asked = true }, err: vips.ErrRefused}
	if _, err := resize(t.Context(), raster.New().With(n), flat, params(nil)); err != nil || !asked {
		t.Errorf("the plain one: offered %t, %v", asked, err)
	}
}

// fileHost has its input in a file, as the worker's host has.
type fileHost struct {
	taskstest.Host
	path string
}

func (h *fileHost) Open(ctx context.Context, f millrace.File) (tasks.InputFile, error) {
	in, err := h.Host.Open(ctx, f)
	return fileInput{in, h.path}, err
}

type fileInput struct {
	tasks.InputFile
	path string
}

func (f fileInput) Name() string { return f.path }

// resizeHosted resizes on a host that wraps another.
func resizeHosted(ctx context.Context, inner *taskstest.Host, host tasks.Host, e *raster.Engine, data []byte, p tasks.ResizeParams) (output, error) {
	call := tasks.NewCall(host, inner.Call(taskstest.Input{Name: "in", Data: data}).Inputs())
	var extension string
	result, err := e.Resize(ctx, call, p, func(_, e string) (io.WriteCloser, error) {
		extension = e
		return call.Create(ctx, "out")
	})
	return output{result, extension, inner.Outputs()["out"], inner}, err
}

// fakeNative is an engine that does not do what it is asked.
type fakeNative struct {
	hello         order.Hello
	helloErr, err error
	read          int64
	before        func()
}

func (n *fakeNative) Hello(context.Context) (order.Hello, error) { return n.hello, n.helloErr }

func (n *fakeNative) Do(_ context.Context, _ string, _ order.Order, body io.Reader, _ int64) (order.Answer, error) {
	if n.before != nil {
		n.before()
	}
	_, _ = io.CopyN(io.Discard, body, n.read)
	return order.Answer{}, n.err
}
