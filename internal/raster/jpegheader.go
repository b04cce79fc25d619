package raster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// jpegFrame is what a JPEG's frame header and structure say.
type jpegFrame struct {
	sof        byte // marker of the frame: C0 baseline, C1 extended, C2 progressive …
	components int
	sampling   [4]byte // factors of each component, horizontal in the high half
	scans      int
	size       int64 // from SOI to EOI: what lies behind is no part of the picture
	entropy    int64 // bytes of coded data
	adobe      bool  // has Adobe's marker, which says that CMYK is inverted
}

func (f jpegFrame) progressive() bool { return f.sof == 0xC2 }

// blocks is how many blocks of 8 × 8 samples a picture of this size has at least.
func (f jpegFrame) blocks(w, h int) int64 {
	hmax, vmax := 1, 1
	for _, s := range f.sampling[:f.components] {
		hmax, vmax = max(hmax, int(s>>4)), max(vmax, int(s&15))
	}
	var n int64
	for _, s := range f.sampling[:f.components] {
		n += int64((w*int(s>>4)/hmax+7)/8) * int64((h*int(s&15)/vmax+7)/8)
	}
	return n
}

// readJPEGHeader walks all markers up to EOI. Decoders stop at the first sign of the end and leave the rest grey, so that the whole file is
// there is checked here.
func readJPEGHeader(r io.Reader, limits Limits) (header, error) {
	s := jpegScan{r: bufio.NewReaderSize(r, 64<<10), limits: limits, header: header{format: JPEG}}
	err := s.walk()
	h := s.header
	h.jpeg.size, h.jpeg.adobe = s.pos, s.adobe
	h.icc = joinICC(s.icc, limits.MetadataBytes)
	if err == nil && h.jpeg.components == 0 {
		err = errors.New("has no frame")
	}
	if err == nil && h.jpeg.scans == 0 {
		err = errors.New("has no scan")
	}
	// Each block takes at least a bit in a progressive file, two in a sequential one: fewer, and the data were cut before a false end.
	if err == nil && h.width > 0 && h.height > 0 {
		least := h.jpeg.blocks(h.width, h.height)
		if !h.jpeg.progressive() {
			least *= 2
		}
		// A declared size beyond the limits is the more useful thing to say.
		if limit := limits.checkHeader(h); limit == nil && h.jpeg.entropy*8 < least {
			err = fmt.Errorf("has %d bytes of coded data for %d × %d pixels", h.jpeg.entropy, h.width, h.height)
		}
	}
	return h, err
}

type jpegScan struct {
	r      *bufio.Reader
	limits Limits
	pos    int64
	header header
	icc    map[byte][]byte // by sequence number
	adobe  bool
}

func (s *jpegScan) walk() error {
	marker, err := s.marker()
	for ; err == nil; marker, err = s.marker() {
		switch {
		case marker == 0xD9:
			return nil
		case marker == 0xD8, marker == 0x01, marker >= 0xD0 && marker <= 0xD7:
			continue
		}
		if err = s.segment(marker); err != nil {
			return err
		}
	}
	if errors.Is(err, io.EOF) && s.header.jpeg.components > 0 {
		// Known from the header to be too large: say so, even if the file is cut short too.
		if limit := s.limits.checkHeader(s.header); limit != nil {
			return limit
		}
	}
	return err
}

// marker finds the next marker, past coded data, stuffed bytes and padding.
func (s *jpegScan) marker() (byte, error) {
	for {
		for {
			chunk, err := s.r.ReadSlice(0xFF)
			s.pos += int64(len(chunk))
			s.header.jpeg.entropy += int64(len(chunk))
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return 0, err
			}
		}
		b := byte(0xFF)
		for b == 0xFF {
			var err error
			if b, err = s.r.ReadByte(); err != nil {
				return 0, err
			}
			s.pos++
		}
		if b != 0 {
			return b, nil
		}
	}
}

func (s *jpegScan) segment(marker byte) error {
	var b [2]byte
	if err := s.read(b[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(b[:])) - 2
	if n < 0 {
		return fmt.Errorf("segment %X has no length", marker)
	}
	switch {
	case marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC, marker == 0xE1, marker == 0xE2, marker == 0xEE:
		data := make([]byte, n)
		if err := s.read(data); err != nil {
			return err
		}
		return s.keep(marker, data)
	case marker == 0xDA:
		if s.header.jpeg.components == 0 {
			return errors.New("a scan comes before the frame")
		}
		s.header.jpeg.scans++
		if s.header.jpeg.scans > s.limits.Scans {
			return s.limits.checkHeader(s.header)
		}
	}
	skipped, err := s.r.Discard(n)
	s.pos += int64(skipped)
	return err
}

func (s *jpegScan) read(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.pos += int64(n)
	return err
}

func (s *jpegScan) keep(marker byte, data []byte) error {
	switch marker {
	case 0xE1:
		if exif, ok := bytes.CutPrefix(data, []byte("Exif\x00\x00")); ok && s.header.exif == nil {
			s.header.exif = exif
		}
	case 0xE2:
		if icc, ok := bytes.CutPrefix(data, []byte("ICC_PROFILE\x00")); ok && len(icc) > 2 {
			if s.icc == nil {
				s.icc = make(map[byte][]byte)
			}
			s.icc[icc[0]] = icc
		}
	case 0xEE:
		s.adobe = s.adobe || bytes.HasPrefix(data, []byte("Adobe"))
	default:
		return s.frame(marker, data)
	}
	return nil
}

func (s *jpegScan) frame(marker byte, data []byte) error {
	if s.header.jpeg.components > 0 {
		return errors.New("has two frames")
	}
	if len(data) < 6 || len(data) < 6+3*int(data[5]) {
		return errors.New("the frame header is cut short")
	}
	switch {
	case marker >= 0xC9:
		return unsupported("JPEG with arithmetic coding is not supported; save it again with an ordinary encoder")
	case marker != 0xC0 && marker != 0xC1 && marker != 0xC2:
		return unsupported("lossless and hierarchical JPEG are not supported; save it again with an ordinary encoder")
	case data[0] != 8:
		return unsupported("JPEG with %d bits per sample is not supported; save it again with 8", data[0])
	}
	n := int(data[5])
	if n != 1 && n != 3 && n != 4 {
		return unsupported("JPEG with %d colour components is not supported; save it again as grey, RGB or CMYK", n)
	}
	f := jpegFrame{sof: marker, components: n}
	for i := range n {
		f.sampling[i] = data[7+3*i]
		if f.sampling[i]>>4 == 0 || f.sampling[i]>>4 > 4 || f.sampling[i]&15 == 0 || f.sampling[i]&15 > 4 {
			return errors.New("a component's sampling is none")
		}
	}
	s.header.jpeg, s.header.grey = f, n == 1
	s.header.height, s.header.width = int(binary.BigEndian.Uint16(data[1:])), int(binary.BigEndian.Uint16(data[3:]))
	return nil
}

// joinICC puts a profile together from its segments: each begins with its number, from 1, and how many there are.
func joinICC(parts map[byte][]byte, limit int) []byte {
	var out []byte
	for n := 1; n <= len(parts); n++ {
		part, ok := parts[byte(n)]
		if !ok || int(part[1]) != len(parts) || len(out)+len(part) > limit {
			return nil
		}
		out = append(out, part[2:]...)
	}
	return out
}
