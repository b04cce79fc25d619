package raster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// readGIFHeader reads the size of the canvas and counts the frames, without unpacking any.
func readGIFHeader(r io.Reader, limits Limits) (header, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	var screen [13]byte
	if _, err := io.ReadFull(br, screen[:]); err != nil {
		return header{}, err
	}
	h := header{
		width: int(binary.LittleEndian.Uint16(screen[6:])), height: int(binary.LittleEndian.Uint16(screen[8:])),
		bytesPerPixel: 1,
	}
	if limits.checkHeader(h) != nil {
		return h, nil // the caller says it
	}
	if err := skipColors(br, screen[10]); err != nil {
		return h, err
	}
	for {
		kind, err := br.ReadByte()
		if err != nil {
			return h, err
		}
		switch kind {
		case 0x3B: // trailer
			if h.frames == 0 {
				return h, errors.New("has no frame")
			}
			return h, nil
		case 0x21: // extension: its label, then blocks
			// A graphic control extension, which stands before a frame, says whether one of its colours is transparent.
			if control, peekErr := br.Peek(3); peekErr == nil && control[0] == 0xF9 && control[1] > 0 && control[2]&1 != 0 {
				h.facts.alpha = true
			}
			if _, err = br.Discard(1); err == nil {
				err = skipBlocks(br)
			}
		case 0x2C:
			h.frames++
			err = skipFrame(br)
		default:
			err = fmt.Errorf("has an unknown block %X", kind)
		}
		if err != nil {
			return h, err
		}
	}
}

func skipFrame(br *bufio.Reader) error {
	var d [9]byte
	if _, err := io.ReadFull(br, d[:]); err != nil {
		return err
	}
	if err := skipColors(br, d[8]); err != nil {
		return err
	}
	if _, err := br.Discard(1); err != nil { // the code size
		return err
	}
	return skipBlocks(br)
}

// skipColors skips the colour table that flags announce.
func skipColors(br *bufio.Reader, flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	_, err := br.Discard(3 << (1 + flags&7))
	return err
}

func skipBlocks(br *bufio.Reader) error {
	for {
		n, err := br.ReadByte()
		if err != nil || n == 0 {
			return err
		}
		if _, err := br.Discard(int(n)); err != nil {
			return err
		}
	}
}
