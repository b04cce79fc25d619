package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// readAVIFHeader reads the properties of the primary picture. The size is that of the picture as it is to be seen: unlike EXIF's orientation,
// the turns that the container asks for are part of decoding it.
func readAVIFHeader(r io.ReadSeeker, limits Limits) (header, error) {
	body, err := readMeta(r, limits.MetadataBytes)
	if err != nil {
		return header{}, err
	}
	meta, err := boxesOf(body[4:])
	if err != nil {
		return header{}, err
	}
	item, err := primaryItem(meta)
	if err != nil {
		return header{}, err
	}
	switch kind, err := itemType(meta, item); {
	case err != nil:
		return header{}, err
	case kind != "av01" && kind != "grid":
		return header{}, unsupported("the picture is coded as %q, not AV1; %s", kind, readable)
	}
	properties, err := itemProperties(meta, item)
	if err != nil {
		return header{}, err
	}
	h := header{bytesPerPixel: 4}
	h.facts.alpha = bytes.Contains(body, []byte("auxiliary:alpha"))
	for _, p := range properties {
		avifProperty(p, &h, limits)
	}
	if h.width == 0 || h.height == 0 {
		return h, errors.New("does not say its size")
	}
	h.width, h.height = h.avif.size(h.width, h.height)
	return h, nil
}

func primaryItem(meta []box4) (uint32, error) {
	r := reader{b: find(meta, "pitm")}
	wide := r.uint(4)>>24 >= 1
	item := r.uint(2)
	if wide {
		item = item<<16 | r.uint(2)
	}
	if r.short {
		return 0, errors.New("has no primary picture")
	}
	return item, nil
}

func avifProperty(p box4, h *header, limits Limits) {
	switch p.name {
	case "ispe":
		if len(p.body) >= 12 {
			h.width = int(min(binary.BigEndian.Uint32(p.body[4:]), 1<<30))
			h.height = int(min(binary.BigEndian.Uint32(p.body[8:]), 1<<30))
		}
	case "av1C":
		if len(p.body) >= 3 && p.body[2]&0x40 != 0 {
			h.bytesPerPixel, h.facts.depth = 8, 10
			if p.body[2]&0x20 != 0 {
				h.facts.depth = 12
			}
		}
	case "colr":
		if kind := p.body[:min(4, len(p.body))]; (string(kind) == "prof" || string(kind) == "rICC") && len(p.body) <= limits.MetadataBytes {
			h.icc = p.body[4:]
		}
	case "irot":
		if len(p.body) >= 1 { // quarter turns against the clock
			h.avif = h.avif.then([]Orientation{1, 8, 3, 6}[p.body[0]&3].turn())
		}
	case "imir":
		if len(p.body) >= 1 {
			h.avif = h.avif.then(turn{flipX: p.body[0]&1 == 1, flipY: p.body[0]&1 == 0})
		}
	}
}
