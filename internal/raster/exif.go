package raster

import (
	"bytes"
	"encoding/binary"
)

// EXIF is a TIFF without a picture. Only what resizing has to know of it is read here: one tag of the first directory, within bounds.

const (
	tagOrientation     = 0x0112
	tagGPS             = 0x8825
	tagThumbnail       = 0x0201 // JPEGInterchangeFormat, in the second directory
	tagThumbnailLength = 0x0202
	maxEntries         = 1000
)

// trimExif drops the JPEG signature that some writers put in front of EXIF in PNG and WebP too.
func trimExif(b []byte) []byte { return bytes.TrimPrefix(b, []byte("Exif\x00\x00")) }

// exifOrientation reads the orientation, 1 where there is none or one that cannot be.
func exifOrientation(exif []byte) Orientation {
	d, ok := firstDirectory(exif)
	if !ok {
		return 1
	}
	if at, ok := d.find(tagOrientation); ok && d.order.Uint16(exif[at+2:]) == 3 {
		if v := d.order.Uint16(exif[at+8:]); v >= 1 && v <= 8 {
			return Orientation(v)
		}
	}
	return 1
}

// directory is a TIFF directory whose entries lie within the block.
type directory struct {
	exif  []byte
	order binary.ByteOrder
	first int // offset of the first entry
	count int
}

func firstDirectory(exif []byte) (directory, bool) {
	if len(exif) < 8 {
		return directory{}, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(exif[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return directory{}, false
	}
	return directoryAt(exif, order, order.Uint32(exif[4:]))
}

func directoryAt(exif []byte, order binary.ByteOrder, offset uint32) (directory, bool) {
	if offset < 8 || int64(offset)+2 > int64(len(exif)) {
		return directory{}, false
	}
	d := directory{exif: exif, order: order, first: int(offset) + 2, count: int(order.Uint16(exif[offset:]))}
	d.count = min(d.count, maxEntries, (len(exif)-d.first)/12)
	return d, true
}

// find is the offset of a tag's entry: tag, type, count and value.
func (d directory) find(tag uint16) (int, bool) {
	for i := range d.count {
		if at := d.first + 12*i; d.order.Uint16(d.exif[at:]) == tag {
			return at, true
		}
	}
	return 0, false
}

// isText says that a tag is one of the words about a picture that outlive its container: description, maker, model, software, date, artist and
// copyright.
func isText(tag uint16) bool {
	switch tag {
	case 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298:
		return true
	}
	return false
}

// textsOf are the words of an EXIF block's first directory, for a TIFF's own.
func textsOf(exif []byte) []tiffEntry {
	d, ok := firstDirectory(exif)
	if !ok {
		return nil
	}
	var out []tiffEntry
	for i := range d.count {
		at := d.first + 12*i
		tag, kind := d.order.Uint16(exif[at:]), d.order.Uint16(exif[at+2:])
		n, from := int64(d.order.Uint32(exif[at+4:])), int64(at+8)
		if n > 4 {
			from = int64(d.order.Uint32(exif[at+8:]))
		}
		if !isText(tag) || kind != typeASCII || from+n > int64(len(exif)) || len(out) > 0 && tag <= out[len(out)-1].tag {
			continue
		}
		out = append(out, tiffEntry{tag, typeASCII, int(n), exif[from : from+n]})
	}
	return out
}

// next is the offset of the four bytes that lead to the directory after this one.
func (d directory) next() (int, bool) {
	at := d.first + 12*d.count
	return at, at+4 <= len(d.exif)
}

// keptExif is EXIF fit for an output: orientation put to 1 where the picture has been turned upright, and the thumbnail, which shows the
// picture as it was, overwritten and unlinked.
func keptExif(exif []byte, turned bool) []byte {
	d, ok := firstDirectory(exif)
	if !ok {
		return nil
	}
	out := bytes.Clone(exif)
	if at, ok := d.find(tagOrientation); ok && turned {
		d.order.PutUint16(out[at+2:], 3)
		d.order.PutUint32(out[at+4:], 1)
		d.order.PutUint16(out[at+8:], 1)
	}
	at, ok := d.next()
	if !ok {
		return out
	}
	if thumb, ok := directoryAt(exif, d.order, d.order.Uint32(exif[at:])); ok && thumb.first >= at {
		out = dropThumbnail(out, thumb)
	}
	if at+4 <= len(out) {
		clear(out[at : at+4])
	}
	return out
}

func dropThumbnail(out []byte, thumb directory) []byte {
	start, ok1 := thumb.find(tagThumbnail)
	length, ok2 := thumb.find(tagThumbnailLength)
	if ok1 && ok2 {
		from := int64(thumb.order.Uint32(thumb.exif[start+8:]))
		to := from + int64(thumb.order.Uint32(thumb.exif[length+8:]))
		if from >= 8 && from < to && to <= int64(len(out)) {
			clear(out[from:to])
			if to == int64(len(out)) && from > int64(thumb.first+12*thumb.count+4) {
				out = out[:from]
			}
		}
	}
	if end := thumb.first + 12*thumb.count; end <= len(out) {
		clear(out[thumb.first:end])
	}
	return out
}
