package raster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// AVIF lies in boxes (ISO/IEC 14496-12), its properties in the box named meta (ISO/IEC 23008-12). Only what resizing has to know of them is
// read here, within bounds; the pictures themselves are the decoder's.

const (
	maxBoxes      = 64   // at the top of a file, before meta
	maxProperties = 1000 // of all items together
)

var errBox = errors.New("has a box that is cut short")

// box4 is a box's name, and its body.
type box4 struct {
	name string
	body []byte
}

// boxesOf are the boxes that fill b.
func boxesOf(b []byte) ([]box4, error) {
	var out []box4
	for len(b) > 0 && len(out) < maxProperties {
		if len(b) < 8 {
			return nil, errBox
		}
		n := uint64(binary.BigEndian.Uint32(b))
		if n == 0 {
			n = uint64(len(b))
		}
		if n < 8 || n > uint64(len(b)) {
			return nil, errBox
		}
		out = append(out, box4{string(b[4:8]), b[8:n]})
		b = b[n:]
	}
	return out, nil
}

func find(boxes []box4, name string) []byte {
	for _, b := range boxes {
		if b.name == name {
			return b.body
		}
	}
	return nil
}

// readMeta finds the box named meta and reads it.
func readMeta(r io.ReadSeeker, limit int) ([]byte, error) {
	for range maxBoxes {
		var head [16]byte
		if _, err := io.ReadFull(r, head[:8]); err != nil {
			return nil, err
		}
		n, used := int64(binary.BigEndian.Uint32(head[:])), int64(8)
		if n == 1 {
			if _, err := io.ReadFull(r, head[8:]); err != nil {
				return nil, err
			}
			n, used = int64(binary.BigEndian.Uint64(head[8:])), 16
		}
		if n < used {
			return nil, errBox
		}
		if string(head[4:8]) != "meta" {
			if _, err := r.Seek(n-used, io.SeekCurrent); err != nil {
				return nil, err
			}
			continue
		}
		if n-used > int64(limit) || n-used < 4 {
			return nil, fmt.Errorf("has %d bytes of properties", n)
		}
		body := make([]byte, n-used)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	return nil, errors.New("has no properties")
}

// itemProperties are the properties of an item, in the order in which they apply.
func itemProperties(meta []box4, item uint32) ([]box4, error) {
	parts, err := boxesOf(find(meta, "iprp"))
	if err != nil {
		return nil, err
	}
	all, err := boxesOf(find(parts, "ipco"))
	if err != nil {
		return nil, err
	}
	var out []box4
	for _, p := range parts {
		if p.name != "ipma" {
			continue
		}
		indices, err := associations(p.body, item)
		if err != nil {
			return nil, err
		}
		for _, i := range indices {
			if i >= 1 && i <= len(all) {
				out = append(out, all[i-1])
			}
		}
	}
	return out, nil
}

// associations reads which properties an item has, as indices from 1.
func associations(ipma []byte, item uint32) ([]int, error) {
	r := reader{b: ipma}
	head := r.uint(4)
	wideID, wideIndex := head>>24 >= 1, head&1 != 0
	for n := r.uint(4); n > 0 && !r.short; n-- {
		id := r.uint(2)
		if wideID {
			id = id<<16 | r.uint(2)
		}
		var indices []int
		for count := r.uint(1); count > 0; count-- {
			if wideIndex {
				indices = append(indices, int(r.uint(2)&0x7FFF))
			} else {
				indices = append(indices, int(r.uint(1)&0x7F))
			}
		}
		if id == item && !r.short {
			return indices, nil
		}
	}
	if r.short {
		return nil, errBox
	}
	return nil, nil
}

// itemType is the four letters that say how an item is coded.
func itemType(meta []box4, item uint32) (string, error) {
	iinf := find(meta, "iinf")
	skip := 6
	if len(iinf) > 0 && iinf[0] > 0 {
		skip = 8
	}
	if len(iinf) < skip {
		return "", errBox
	}
	entries, err := boxesOf(iinf[skip:])
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		r := reader{b: e.body}
		version := r.uint(4) >> 24
		id := r.uint(2)
		if version >= 3 {
			id = id<<16 | r.uint(2)
		}
		r.uint(2)
		if kind := r.take(4); version >= 2 && id == item && !r.short {
			return string(kind), nil
		}
	}
	return "", nil
}

// reader reads numbers of b in big endian, zeros once b is short.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint(n int) uint32 {
	var v uint32
	for _, b := range r.take(n) {
		v = v<<8 | uint32(b)
	}
	return v
}
