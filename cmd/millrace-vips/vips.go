//go:build vips

package main

// #cgo pkg-config: vips
// #include <stdlib.h>
// #include "engine.h"
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/internal/raster/order"
)

func run(in io.Reader, out io.Writer) error {
	runtime.LockOSThread() // libvips keeps things by thread
	if stat, err := os.Stdin.Stat(); err == nil && stat.Mode()&os.ModeCharDevice != 0 {
		return errors.New("a worker of Millrace starts this program; it is not for a terminal")
	}
	if err := confine(); err != nil {
		return err
	}
	if C.engine_init() != 0 {
		return fmt.Errorf("libvips does not start: %s", C.GoString(C.engine_error()))
	}
	return serve(in, out, libvips{})
}

// libvips is the engine.
type libvips struct{}

func (libvips) hello() order.Hello {
	h := order.Hello{Protocol: order.Protocol, Name: "vips", Version: C.GoString(C.engine_version())}
	for _, f := range []struct{ format, load, save string }{
		{"jpeg", "jpegload_source", "jpegsave_buffer"}, {"png", "pngload_source", "pngsave_buffer"},
		{"webp", "webpload_source", "webpsave_buffer"}, {"tiff", "tiffload_source", ""}, {"avif", "heifload_source", "heifsave_buffer"},
	} {
		if has(f.load) {
			h.Reads = append(h.Reads, f.format)
		}
		if has(f.save) {
			h.Writes = append(h.Writes, f.format)
		}
	}
	return h
}

func has(operation string) bool {
	name := C.CString(operation)
	defer C.free(unsafe.Pointer(name))
	return operation != "" && C.engine_has(name) != 0
}

// words are strings for C, freed together.
type words []*C.char

func (w *words) of(s string) *C.char {
	c := C.CString(s)
	*w = append(*w, c)
	return c
}

func (w *words) free() {
	for _, c := range *w {
		C.free(unsafe.Pointer(c))
	}
}

func (libvips) render(o order.Order, data []byte) ([]picture, error) {
	var w words
	defer w.free()
	var pin runtime.Pinner
	defer pin.Unpin()
	in := C.engine_input{format: w.of(o.Format), width: C.int(o.Width), height: C.int(o.Height), page: C.int(o.Page), denom: C.int(max(1, o.Denom))}
	if o.Path != "" {
		in.path = w.of(o.Path)
	} else {
		pin.Pin(unsafe.SliceData(data))
		in.data, in.length = unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data))
	}
	outputs := make([]C.engine_output, len(o.Outputs))
	for i, out := range o.Outputs {
		outputs[i] = C.engine_output{
			source: box(out.Source), window: box(out.Window), scaled_w: C.int(out.ScaledW), scaled_h: C.int(out.ScaledH),
			kernel: w.of(out.Kernel), flip_x: flag(out.FlipX), flip_y: flag(out.FlipY), swap: flag(out.Swap), encoding: w.encoding(out.Encoding),
		}
	}
	made := make([]C.engine_picture, len(outputs))
	if C.engine_render(&in, unsafe.SliceData(outputs), C.int(len(outputs)), unsafe.SliceData(made)) != 0 {
		return nil, failure()
	}
	pictures := make([]picture, len(made))
	for i, m := range made {
		pictures[i] = delivered(m, o.Outputs[i].Encoding)
	}
	return pictures, nil
}

// failure is why the last call did not succeed. Some loaders give no reason.
func failure() error {
	return errors.New("libvips: " + cmp.Or(strings.TrimSpace(C.GoString(C.engine_error())), "no reason given"))
}

func (libvips) encode(o order.Order, pixels []byte) (picture, error) {
	var w words
	defer w.free()
	var pin runtime.Pinner
	defer pin.Unpin()
	delays := make([]C.int, 0, len(o.Delays)+1)
	for _, d := range o.Delays {
		delays = append(delays, C.int(d))
	}
	pin.Pin(unsafe.SliceData(pixels))
	pin.Pin(unsafe.SliceData(delays))
	in := C.engine_pixels{
		data: unsafe.Pointer(unsafe.SliceData(pixels)), width: C.int(o.Width), height: C.int(o.Height), bands: C.int(o.Bands),
		frames: C.int(o.Frames), loop: C.int(o.Loop), delays: unsafe.SliceData(delays), delay_count: C.int(len(delays)),
	}
	how := w.encoding(o.Encoding)
	var made C.engine_picture
	if C.engine_encode(&in, &how, &made) != 0 {
		return picture{}, failure()
	}
	return delivered(made, o.Encoding), nil
}

func (w *words) encoding(e *order.Encoding) C.engine_encoding {
	if e == nil {
		return C.engine_encoding{}
	}
	return C.engine_encoding{
		format: w.of(e.Format), quality: C.int(e.Quality), effort: C.int(e.Effort),
		lossless: flag(e.Lossless), progressive: flag(e.Progressive), full_chroma: flag(e.FullChroma),
	}
}

func box(b order.Box) C.engine_box {
	return C.engine_box{x: C.int(b.X), y: C.int(b.Y), w: C.int(b.W), h: C.int(b.H)}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// delivered is a picture whose bytes stay where libvips has them until they are written.
func delivered(m C.engine_picture, e *order.Encoding) picture {
	p := picture{
		Picture: order.Picture{Width: int(m.width), Height: int(m.height), Bands: int(m.bands), Bytes: int64(m.length), Data: unsafe.Slice((*byte)(m.data), int(m.length))},
		free:    func() { C.engine_free(m.data) },
	}
	if m.encoded != 0 {
		p.Format = e.Format
	}
	return p
}
