package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"time"

	"golang.org/x/image/webp"
)

// webpReel composes an animated WebP. The library behind it knows stills, so each frame is handed to it as one.
type webpReel struct {
	r       io.ReadSeeker
	end     int64
	pos     int64
	canvas  *image.NRGBA
	dispose image.Rectangle // cleared before the next frame
}

// The flags of a frame.
const (
	anmfDispose = 1 << 0
	anmfReplace = 1 << 1 // do not blend
)

// anmfHead is the length of what comes before a frame's own chunks.
const anmfHead = 16

func newWebPReel(r io.ReadSeeker, canvas *image.NRGBA) (*webpReel, error) {
	end, err := webpEnd(r)
	return &webpReel{r: r, end: end, pos: 12, canvas: canvas}, err
}

// next implements reel.
func (r *webpReel) next() (*image.NRGBA, time.Duration, error) {
	body, err := r.frame()
	if err != nil {
		return nil, 0, err
	}
	f := anmfOf(body)
	if !f.rect.In(r.canvas.Rect) {
		return nil, 0, errors.New("a frame lies beside the canvas")
	}
	m, err := decodeANMF(f, body[anmfHead:])
	if err != nil {
		return nil, 0, err
	}
	eachRow(r.canvas, r.dispose, func(row []byte, _ int) { clear(row) })
	r.dispose = image.Rectangle{}
	if f.flags&anmfDispose != 0 {
		r.dispose = f.rect
	}
	rows, err := rowsOfFrame(m)
	if err != nil {
		return nil, 0, err
	}
	line := make([]byte, 4*f.rect.Dx())
	eachRow(r.canvas, f.rect, func(row []byte, at int) {
		rows(at/max(1, len(row)), line)
		if f.flags&anmfReplace != 0 {
			copy(row, line)
			return
		}
		blendOver(row, line)
	})
	return r.canvas, f.delay, nil
}

// frame reads the next ANMF chunk.
func (r *webpReel) frame() ([]byte, error) {
	for r.pos+8 <= r.end {
		var head [8]byte
		if _, err := r.r.Seek(r.pos, io.SeekStart); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(r.r, head[:]); err != nil {
			return nil, err
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		from := r.pos + 8
		r.pos = from + n + n&1
		if string(head[:4]) != "ANMF" {
			continue
		}
		if n < anmfHead || from+n > r.end {
			return nil, errors.New("a frame is cut short")
		}
		body := make([]byte, n)
		_, err := io.ReadFull(r.r, body)
		return body, err
	}
	return nil, io.EOF
}

// anmf is the head of a frame.
type anmf struct {
	rect  image.Rectangle
	delay time.Duration
	flags byte
}

func anmfOf(b []byte) anmf {
	x, y := 2*uint24(b), 2*uint24(b[3:])
	return anmf{
		rect:  image.Rect(x, y, x+1+uint24(b[6:]), y+1+uint24(b[9:])),
		delay: time.Duration(uint24(b[12:])) * time.Millisecond,
		flags: b[15],
	}
}

// decodeANMF decodes a frame as a still of its own, whose head bounds the decoder.
func decodeANMF(f anmf, chunks []byte) (image.Image, error) {
	var flags byte
	if bytes.HasPrefix(chunks, []byte("ALPH")) {
		flags = webpAlpha
	}
	still := riffFile(append(riffChunk(nil, "VP8X", vp8x(flags, f.rect.Size())), chunks...))
	m, err := webp.Decode(bytes.NewReader(still))
	if err == nil && m.Bounds().Size() != f.rect.Size() {
		err = fmt.Errorf("a frame decodes to %v, its head says %v", m.Bounds(), f.rect)
	}
	return m, err
}

// rowsOfFrame reads what the decoder makes of a frame, row by row, as NRGBA.
func rowsOfFrame(m image.Image) (func(y int, out []byte), error) {
	switch m := m.(type) {
	case *image.NRGBA:
		return func(y int, out []byte) { copy(out, m.Pix[y*m.Stride:]) }, nil
	case *image.YCbCr:
		return func(y int, out []byte) { narrowRow(m, y, out) }, nil
	case *image.NYCbCrA:
		return func(y int, out []byte) {
			narrowRow(&m.YCbCr, y, out)
			for x, a := range m.A[y*m.AStride:][:len(out)/4] {
				out[4*x+3] = a
			}
		}, nil
	}
	return nil, fmt.Errorf("no way to read a %T", m)
}

// narrowRow converts a row with luma in 16…235, in units of 1/65536.
func narrowRow(m *image.YCbCr, y int, out []byte) {
	for x := 0; 4*x+3 < len(out); x++ {
		c := m.COffset(x, y)
		l := 76309 * (int32(m.Y[y*m.YStride+x]) - 16)
		cb, cr := int32(m.Cb[c])-128, int32(m.Cr[c])-128
		p := out[4*x : 4*x+4 : 4*x+4]
		p[0] = clamp((l + 104597*cr + 1<<15) >> 16)
		p[1] = clamp((l - 25675*cb - 53279*cr + 1<<15) >> 16)
		p[2] = clamp((l + 132201*cb + 1<<15) >> 16)
		p[3] = 255
	}
}

// blendOver lays pixels over others, neither multiplied by alpha.
func blendOver(under, over []byte) {
	for i := 0; i+3 < len(under); i += 4 {
		u, o := under[i:i+4:i+4], over[i:i+4:i+4]
		switch {
		case o[3] == 255 || u[3] == 0:
			copy(u, o)
		case o[3] != 0:
			top, rest := int(o[3])*255, int(u[3])*(255-int(o[3]))
			all := top + rest
			for c := range 3 {
				u[c] = byte((int(o[c])*top + int(u[c])*rest + all/2) / all)
			}
			u[3] = byte((all + 127) / 255)
		}
	}
}
