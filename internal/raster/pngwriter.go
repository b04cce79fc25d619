package raster

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// pngHead is the length of a PNG's signature and IHDR, behind which metadata goes.
const pngHead = 33

// pngWriter puts metadata into a PNG on its way: the standard encoder has no place for it.
type pngWriter struct {
	w         io.Writer
	exif, icc []byte
	written   int
}

// Write implements io.Writer.
func (p *pngWriter) Write(b []byte) (int, error) {
	if p.written >= pngHead || p.exif == nil && p.icc == nil {
		return p.w.Write(b)
	}
	head := b[:min(len(b), pngHead-p.written)]
	n, err := p.w.Write(head)
	p.written += n
	if err != nil || p.written < pngHead {
		return n, err
	}
	if _, err := p.w.Write(p.chunks()); err != nil {
		return n, err
	}
	more, err := p.w.Write(b[n:])
	return n + more, err
}

func (p *pngWriter) chunks() []byte {
	var out bytes.Buffer
	if p.icc != nil {
		var packed bytes.Buffer
		packed.WriteString("ICC Profile\x00\x00")
		z := zlib.NewWriter(&packed)
		_, _ = z.Write(p.icc) // into memory: it cannot fail
		_ = z.Close()
		putChunk(&out, "iCCP", packed.Bytes())
	}
	if p.exif != nil {
		putChunk(&out, "eXIf", p.exif)
	}
	return out.Bytes()
}

func putChunk(out *bytes.Buffer, kind string, data []byte) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(data)))
	out.Write(n[:])
	body := append([]byte(kind), data...)
	out.Write(body)
	binary.BigEndian.PutUint32(n[:], crc32.ChecksumIEEE(body))
	out.Write(n[:])
}
