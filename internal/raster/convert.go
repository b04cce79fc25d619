package raster

import (
	"image"
	"image/color"

	"github.com/millrace/millrace/tasks"
)

// toNRGBA gives the one kind of picture that effects and most encoders are handed. It returns an NRGBA as it is.
func toNRGBA(m image.Image) *image.NRGBA {
	switch m := m.(type) {
	case *image.NRGBA:
		return m
	case *image.Gray:
		out := image.NewNRGBA(m.Rect)
		for i, v := range m.Pix {
			copy(out.Pix[4*i:], []byte{v, v, v, 255})
		}
		return out
	case *image.YCbCr:
		out := image.NewNRGBA(m.Rect)
		for y := range m.Rect.Dy() {
			row := out.Pix[y*out.Stride:]
			for x := range m.Rect.Dx() {
				c := m.COffset(x, y)
				r, g, b := color.YCbCrToRGB(m.Y[y*m.YStride+x], m.Cb[c], m.Cr[c])
				p := row[4*x : 4*x+4 : 4*x+4]
				p[0], p[1], p[2], p[3] = r, g, b, 255
			}
		}
		return out
	}
	return image.NewNRGBA(image.Rectangle{})
}

// fromInk takes CMYK by the plain formula: what is printed over white.
func fromInk(m *image.CMYK) *image.NRGBA {
	out := image.NewNRGBA(m.Rect)
	for i := 0; i+3 < len(m.Pix); i += 4 {
		r, g, b := color.CMYKToRGB(m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3])
		p := out.Pix[i : i+4 : i+4]
		p[0], p[1], p[2], p[3] = r, g, b, 255
	}
	return out
}

func opaque(m image.Image) bool {
	o, ok := m.(interface{ Opaque() bool })
	return ok && o.Opaque()
}

// background is the colour that the job asks for, or white.
func (o *output) background() color.NRGBA {
	c, ok := tasks.ParseColor(o.params.Background)
	if !ok {
		return color.NRGBA{R: 255, G: 255, B: 255, A: 255}
	}
	return c
}

// mount lays the picture on its canvas where it has a larger one, and on the background where the output knows no transparency.
func (o *output) mount(m image.Image) image.Image {
	background := o.background()
	if o.framed() {
		g := o.geometry
		canvas := image.NewNRGBA(image.Rect(0, 0, g.canvasW, g.canvasH))
		for i := 0; i+3 < len(canvas.Pix); i += 4 {
			p := canvas.Pix[i : i+4 : i+4]
			p[0], p[1], p[2], p[3] = background.R, background.G, background.B, background.A
		}
		src := toNRGBA(m)
		for y := range src.Rect.Dy() {
			copy(canvas.Pix[canvas.PixOffset(g.offsetX, g.offsetY+y):], src.Pix[y*src.Stride:][:4*src.Rect.Dx()])
		}
		m = canvas
	}
	if o.jpeg() && !opaque(m) {
		flatten(toNRGBA(m), background)
	}
	return m
}

// flatten lays m over a colour; what that lets through is white.
func flatten(m *image.NRGBA, under color.NRGBA) {
	over := func(top, bottom, alpha byte) byte {
		return byte((int(top)*int(alpha) + int(bottom)*(255-int(alpha)) + 127) / 255)
	}
	r, g, b := over(under.R, 255, under.A), over(under.G, 255, under.A), over(under.B, 255, under.A)
	for i := 0; i+3 < len(m.Pix); i += 4 {
		p := m.Pix[i : i+4 : i+4]
		p[0], p[1], p[2], p[3] = over(p[0], r, p[3]), over(p[1], g, p[3]), over(p[2], b, p[3]), 255
	}
}
