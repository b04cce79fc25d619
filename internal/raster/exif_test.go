package raster

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// exifBlock makes an EXIF block with an orientation and, where thumb is not nil, a second directory with a thumbnail.
func exifBlock(order binary.AppendByteOrder, orientation uint16, thumb []byte) []byte {
	b := []byte("II*\x00")
	if order == binary.BigEndian {
		b = []byte("MM\x00*")
	}
	entry := func(b []byte, tag, kind uint16, value uint32) []byte {
		b = order.AppendUint16(order.AppendUint16(b, tag), kind)
		b = order.AppendUint32(b, 1)
		if kind == 3 {
			return order.AppendUint16(order.AppendUint16(b, uint16(value)), 0)
		}
		return order.AppendUint32(b, value)
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	b = entry(b, 0x0100, 4, 640)
	b = entry(b, tagOrientation, 3, uint32(orientation))
	if thumb == nil {
		return order.AppendUint32(b, 0)
	}
	b = order.AppendUint32(b, 38)
	b = order.AppendUint16(b, 2)
	b = entry(b, tagThumbnail, 4, 68)
	b = entry(b, tagThumbnailLength, 4, uint32(len(thumb)))
	b = order.AppendUint32(b, 0)
	return append(b, thumb...)
}

func TestExifOrientation(t *testing.T) {
	t.Parallel()
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for stored, want := range map[uint16]Orientation{0: 1, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 1, 65535: 1} {
			if got := exifOrientation(exifBlock(order, stored, nil)); got != want {
				t.Errorf("%v: orientation %d read as %d, want %d", order, stored, got, want)
			}
		}
	}
	whole := exifBlock(binary.LittleEndian, 6, nil)
	for cut := range whole {
		if got := exifOrientation(whole[:cut]); got != 1 && got != 6 {
			t.Errorf("cut to %d bytes: orientation %d", cut, got)
		}
	}
	loop := exifBlock(binary.LittleEndian, 6, nil)
	binary.LittleEndian.PutUint32(loop[4:], 1<<31)
	if got := exifOrientation(loop); got != 1 {
		t.Errorf("a directory far outside: orientation %d", got)
	}
}

func TestKeptExif(t *testing.T) {
	t.Parallel()
	in := exifBlock(binary.BigEndian, 6, []byte("THUMBNAIL"))
	before := bytes.Clone(in)
	got := keptExif(in, true)
	if !bytes.Equal(in, before) {
		t.Error("changed its input")
	}
	if o := exifOrientation(got); o != 1 {
		t.Errorf("orientation %d, want 1", o)
	}
	if bytes.Contains(got, []byte("THUMB")) {
		t.Error("the thumbnail is still there")
	}
	d, _ := firstDirectory(got)
	if at, ok := d.next(); !ok || binary.BigEndian.Uint32(got[at:]) != 0 {
		t.Error("the thumbnail's directory is still linked")
	}
	if o := exifOrientation(keptExif(in, false)); o != 6 {
		t.Errorf("a picture that was not turned: orientation %d, want 6", o)
	}
}

func FuzzExif(f *testing.F) {
	f.Add(exifBlock(binary.BigEndian, 6, []byte("THUMBNAIL")))
	f.Add(exifBlock(binary.LittleEndian, 3, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := exifOrientation(b); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
		before := bytes.Clone(b)
		kept := keptExif(b, true)
		if !bytes.Equal(before, b) {
			t.Error("changed its input")
		}
		if len(kept) > len(b) {
			t.Errorf("grew from %d to %d bytes", len(b), len(kept))
		}
	})
}
