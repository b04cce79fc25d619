package order_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/internal/raster/order"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	want := order.Answer{Resident: 7, Pictures: []order.Picture{
		{Width: 2, Height: 1, Bands: 3, Bytes: 6, Data: []byte("rgbrgb")},
		{Width: 9, Height: 9, Bands: 3, Bytes: 4, Format: "jpeg", Data: []byte("jpeg")},
	}}
	var b bytes.Buffer
	for range 2 {
		if err := order.Write(&b, want, 10); err != nil {
			t.Fatal(err)
		}
		b.WriteString("rgbrgbjpeg")
	}
	for range 2 {
		got, err := order.ReadAnswer(&b, 10)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	if _, err := order.ReadAnswer(&b, 10); !errors.Is(err, io.EOF) {
		t.Errorf("between frames: %v, want io.EOF", err)
	}
}

// frame is a frame of any lengths.
func frame(header string, length uint32, body uint64, bytes string) []byte {
	b := binary.BigEndian.AppendUint32(nil, length)
	b = binary.BigEndian.AppendUint64(b, body)
	return append(append(b, header...), bytes...)
}

func TestWrongFrames(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"cut in its lengths":       []byte("\x00\x00"),
		"cut in its header":        frame("{", 2, 0, ""),
		"header too long":          frame("", order.MaxHeader+1, 0, ""),
		"bytes beyond the limit":   frame("{}", 2, 101, ""),
		"bytes beyond any limit":   frame("{}", 2, 1<<63, ""),
		"no JSON":                  frame("??", 2, 0, ""),
		"another type":             frame("[]", 2, 0, ""),
		"bytes of no picture":      frame("{}", 2, 1, "x"),
		"cut in a picture":         frame(`{"pictures":[{"width":1,"height":1,"bands":3,"bytes":3}]}`, 57, 3, "x"),
		"picture beyond the bytes": frame(`{"pictures":[{"width":1,"height":1,"bands":3,"bytes":3}]}`, 57, 2, "xx"),
		"picture of minus bytes":   frame(`{"pictures":[{"width":1,"height":1,"bands":1,"bytes":-1}]}`, 58, 0, ""),
		"picture of no size":       frame(`{"pictures":[{"width":0,"height":1,"bands":3,"bytes":0}]}`, 57, 0, ""),
		"pixels too few":           frame(`{"pictures":[{"width":2,"height":1,"bands":3,"bytes":3}]}`, 57, 3, "xxx"),
		"five bands":               frame(`{"pictures":[{"width":1,"height":1,"bands":5,"bytes":5}]}`, 57, 5, "xxxxx"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a, err := order.ReadAnswer(bytes.NewReader(raw), 100); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("ReadAnswer = %+v, %v; want an error", a, err)
			}
		})
	}
}

func whole(w, h int) order.Order {
	all := order.Box{W: w, H: h}
	return order.Order{Op: order.Render, Format: "jpeg", Width: w, Height: h, Denom: 1, Outputs: []order.Output{{Source: all, ScaledW: w, ScaledH: h, Window: all}}}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	pixels := order.Order{Op: order.Encode, Width: 2, Height: 2, Bands: 3, Frames: 1, Encoding: &order.Encoding{Format: "webp"}}
	for _, tt := range []struct {
		name   string
		of     order.Order
		body   int64
		change func(*order.Order)
		ok     bool
	}{
		{"a picture", whole(40, 30), 9, func(*order.Order) {}, true},
		{"a file", whole(40, 30), 0, func(o *order.Order) { o.Path = "/a" }, true},
		{"a file and bytes", whole(40, 30), 9, func(o *order.Order) { o.Path = "/a" }, false},
		{"neither", whole(40, 30), 0, func(*order.Order) {}, false},
		{"another operation", whole(40, 30), 9, func(o *order.Order) { o.Op = "draw" }, false},
		{"no width", whole(40, 30), 9, func(o *order.Order) { o.Width = 0 }, false},
		{"a third", whole(40, 30), 9, func(o *order.Order) { o.Denom = 3 }, false},
		{"page before the first", whole(40, 30), 9, func(o *order.Order) { o.Page = -1 }, false},
		{"no outputs", whole(40, 30), 9, func(o *order.Order) { o.Outputs = nil }, false},
		{"source beyond the picture", whole(40, 30), 9, func(o *order.Order) { o.Outputs[0].Source.X = 1 }, false},
		{"source that overflows", whole(40, 30), 9, func(o *order.Order) { o.Outputs[0].Source.X = 1<<63 - 20 }, false},
		{"empty source", whole(40, 30), 9, func(o *order.Order) { o.Outputs[0].Source.H = 0 }, false},
		{"window beyond the scaled", whole(40, 30), 9, func(o *order.Order) { o.Outputs[0].Window.Y = 1 }, false},
		{"scaled to nothing", whole(40, 30), 9, func(o *order.Order) { o.Outputs[0].ScaledW = 0 }, false},
		{"quality of 101", whole(40, 30), 9, func(o *order.Order) { o.Outputs[0].Encoding = &order.Encoding{Quality: 101} }, false},
		{"pixels", pixels, 12, func(*order.Order) {}, true},
		{"pixels too few", pixels, 11, func(*order.Order) {}, false},
		{"an animation", pixels, 24, func(o *order.Order) { o.Frames, o.Delays = 2, []int{1, 2} }, true},
		{"an animation without delays", pixels, 24, func(o *order.Order) { o.Frames = 2 }, false},
		{"no bands", pixels, 0, func(o *order.Order) { o.Bands = 0 }, false},
		{"pixels as nothing", pixels, 12, func(o *order.Order) { o.Encoding = nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := tt.of
			o.Outputs = append([]order.Output(nil), o.Outputs...)
			tt.change(&o)
			if err := o.Check(tt.body); (err == nil) != tt.ok {
				t.Errorf("Check = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestAnswered(t *testing.T) {
	t.Parallel()
	o := whole(40, 30)
	o.Outputs[0].Swap, o.Outputs[0].Encoding = true, &order.Encoding{Format: "webp"}
	right := order.Picture{Width: 30, Height: 40, Bands: 3, Format: "webp"}
	for _, tt := range []struct {
		name string
		a    order.Answer
		ok   bool
	}{
		{"encoded", order.Answer{Pictures: []order.Picture{right}}, true},
		{"raw", order.Answer{Pictures: []order.Picture{{Width: 30, Height: 40, Bands: 4}}}, true},
		{"an error", order.Answer{Error: "no"}, true},
		{"nothing", order.Answer{}, false},
		{"two", order.Answer{Pictures: []order.Picture{right, right}}, false},
		{"unturned", order.Answer{Pictures: []order.Picture{{Width: 40, Height: 30, Bands: 3, Format: "webp"}}}, false},
		{"another format", order.Answer{Pictures: []order.Picture{{Width: 30, Height: 40, Bands: 3, Format: "png"}}}, false},
	} {
		if err := o.Answered(tt.a); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

// FuzzReadAnswer is what a worker hears, from a helper that a picture may have taken over.
func FuzzReadAnswer(f *testing.F) {
	var b bytes.Buffer
	_ = order.Write(&b, order.Answer{Pictures: []order.Picture{{Width: 1, Height: 1, Bands: 3, Bytes: 3}}}, 3)
	f.Add(append(b.Bytes(), "rgb"...))
	f.Add(frame("{}", 2, 0, ""))
	f.Add(frame(`{"error":"x"}`, 13, 0, ""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		const limit = 1 << 16
		a, err := order.ReadAnswer(bytes.NewReader(raw), limit)
		if err != nil {
			return
		}
		var n int
		for _, p := range a.Pictures {
			n += len(p.Data)
			if p.Format == "" && len(p.Data) != p.Width*p.Height*p.Bands {
				t.Errorf("a picture of %d bytes: %+v", len(p.Data), p)
			}
		}
		if n > limit {
			t.Errorf("%d bytes, limit %d", n, limit)
		}
		_ = whole(1, 1).Answered(a)
	})
}

// FuzzReadOrder is what a helper hears. Whatever passes the check must lie in its picture, because C does not look again.
func FuzzReadOrder(f *testing.F) {
	var b bytes.Buffer
	_ = order.Write(&b, whole(40, 30), 3)
	f.Add(append(b.Bytes(), "abc"...))
	f.Add(frame(`{"op":"encode","width":1,"height":1,"bands":1,"frames":1,"encoding":{"format":"webp"}}`, 86, 1, "x"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var o order.Order
		body, err := order.Read(bytes.NewReader(raw), &o, 1<<16)
		if err != nil || o.Check(body) != nil {
			return
		}
		for _, out := range o.Outputs {
			s, w := out.Source, out.Window
			if s.X < 0 || s.Y < 0 || s.W < 1 || s.H < 1 || s.X+s.W > o.Width || s.Y+s.H > o.Height ||
				w.X < 0 || w.Y < 0 || w.W < 1 || w.H < 1 || w.X+w.W > out.ScaledW || w.Y+w.H > out.ScaledH {
				t.Errorf("passed: %+v", o)
			}
		}
		if o.Op == order.Encode && body != int64(o.Width)*int64(o.Height)*int64(o.Bands)*int64(o.Frames) {
			t.Errorf("passed with %d bytes: %+v", body, o)
		}
	})
}
