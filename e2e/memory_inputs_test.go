package e2e_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"testing"
)

// hostileImage is a file that no worker may fall over.
type hostileImage struct {
	name  string
	data  []byte
	codes string // of the errors that it may end with
}

// hostileImages makes n of them, each another.
func hostileImages(t *testing.T, n int) []hostileImage {
	t.Helper()
	whole, picture := photo(t, 640, 480), smallPNG(t)
	makers := []func(i int) hostileImage{
		func(i int) hostileImage {
			return hostileImage{"bomb.png", pngOf(uint32(40_000+i), 50_000, 1<<20), "too_large"}
		},
		func(i int) hostileImage {
			return hostileImage{"long.png", pngOf(1<<31-1, uint32(1+i), 16), "too_large|corrupt"}
		},
		// Within the limits of a picture, and more than a worker has.
		func(i int) hostileImage {
			return hostileImage{"big.png", pngOf(uint32(9_000+i), 9_000, 1<<20), "too_large"}
		},
		// Takes half of what a worker has, for nothing.
		func(i int) hostileImage {
			return hostileImage{"short.png", pngOf(uint32(3_800+i), 3_800, 8<<20), "corrupt"}
		},
		func(i int) hostileImage { return hostileImage{"burst.png", pngOf(uint32(10+i), 10, 64<<20), "corrupt"} },
		func(i int) hostileImage {
			return hostileImage{"vast.jpg", resized(whole, 0xc0, 50_000, 50_000-i), "too_large"}
		},
		func(i int) hostileImage {
			return hostileImage{"promise.jpg", resized(whole, 0xc0, 3_000, 4_000-i), "corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"half.jpg", whole[:len(whole)/2+i], "corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"steps.jpg", progressiveOf(3_000, 4_000+i, 1, true), "corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"more steps.jpg", progressiveOf(8_000, 8_000+i, 1, false), "too_large|corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"thousand scans.jpg", progressiveOf(64, 64+i, 4_000, false), "too_large"}
		},
		func(i int) hostileImage {
			return hostileImage{"canvas.gif", gifOf(t, 65_535, 65_535-i, 1), "too_large|corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"frames.gif", gifOf(t, 200, 200+i, 2_000), "too_many_frames|too_large"}
		},
		func(i int) hostileImage { return hostileImage{"cut.png", picture[:len(picture)-100-i], "corrupt"} },
		func(i int) hostileImage {
			return hostileImage{"profile.png", withProfile(picture[:len(picture)-100-i], 64<<20, i), "corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"vast.webp", append([]byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\x3f\x00\xff\x3f\x00"), byte(i)), "too_large|corrupt"}
		},
		func(i int) hostileImage {
			return hostileImage{"noise.jpg", append([]byte{0xff, 0xd8, 0xff}, noise(2_000+i)...), "corrupt|unsupported_format"}
		},
		func(i int) hostileImage {
			return hostileImage{"noise.avif", append([]byte("\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf"), noise(2_000+i)...), "corrupt|unsupported_format"}
		},
		func(i int) hostileImage {
			return hostileImage{"loop.tif", append([]byte("II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"), byte(i)), "corrupt|unsupported_format"}
		},
		func(i int) hostileImage {
			return hostileImage{"page.png", fmt.Appendf(nil, "<html><script>alert(%d)</script>", i), "unsupported_format"}
		},
	}
	all := make([]hostileImage, 0, n)
	for i := range n {
		h := makers[i%len(makers)](i / len(makers))
		h.name = fmt.Sprintf("%d %s", i, h.name)
		all = append(all, h)
	}
	return all
}

func smallPNG(t *testing.T) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	copy(m.Pix, noise(len(m.Pix)))
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// resized makes a JPEG's header tell another size.
func resized(data []byte, marker byte, width, height int) []byte {
	data = bytes.Clone(data)
	at := bytes.Index(data, []byte{0xff, marker})
	binary.BigEndian.PutUint16(data[at+5:], uint16(height))
	binary.BigEndian.PutUint16(data[at+7:], uint16(width))
	return data
}

// progressiveOf makes a grey progressive JPEG of which nothing but its first scan and empty ones are there; cut, that breaks off.
func progressiveOf(width, height, scans int, cut bool) []byte {
	var b bytes.Buffer
	segment := func(marker byte, body ...byte) {
		b.Write([]byte{0xff, marker})
		_ = binary.Write(&b, binary.BigEndian, uint16(len(body)+2))
		b.Write(body)
	}
	b.Write([]byte{0xff, 0xd8})
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	segment(0xc2, 8, byte(height>>8), byte(height), byte(width>>8), byte(width), 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0)
	for _, class := range []byte{0x00, 0x10} {
		segment(0xc4, append(append([]byte{class, 1}, make([]byte, 15)...), 0)...)
	}
	blocks := ((width + 15) / 16) * ((height + 15) / 16) * 6
	if cut {
		blocks /= 2
	}
	segment(0xda, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0)
	b.Write(make([]byte, blocks/8))
	for range scans {
		segment(0xda, 1, 1, 0, 1, 63, 0)
	}
	if !cut {
		b.Write([]byte{0xff, 0xd9})
	}
	return b.Bytes()
}

// gifOf makes a GIF that tells a size, of frames of one pixel.
func gifOf(t *testing.T, width, height, frames int) []byte {
	t.Helper()
	g := &gif.GIF{Config: image.Config{Width: width, Height: height}}
	one := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.Black, color.White})
	for range frames {
		g.Image, g.Delay = append(g.Image, one), append(g.Delay, 1)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withProfile puts a colour profile into a PNG that unpacks to size bytes.
func withProfile(data []byte, size, seed int) []byte {
	var packed bytes.Buffer
	packed.WriteString(fmt.Sprintf("bomb %d\x00\x00", seed))
	z := zlib.NewWriter(&packed)
	chunk := make([]byte, 1<<20)
	for range size / len(chunk) {
		_, _ = z.Write(chunk)
	}
	_ = z.Close()
	const afterHeader = 8 + 25
	return bytes.Join([][]byte{data[:afterHeader], pngChunk("iCCP", packed.Bytes()), data[afterHeader:]}, nil)
}

func pngChunk(name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, name...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}
