package raster

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
)

// decodePlainInk decodes a CMYK JPEG without Adobe's marker, whose values are ink as they stand. The decoder knows such pictures from Adobe
// alone, which stores them inverted: it is shown a marker, and what comes out is inverted back.
func decodePlainInk(src io.Reader) (image.Image, error) {
	var start [2]byte
	if _, err := io.ReadFull(src, start[:]); err != nil {
		return nil, err
	}
	marker := append(start[:], "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"...)
	m, err := jpeg.Decode(io.MultiReader(bytes.NewReader(marker), src))
	if err != nil {
		return nil, err
	}
	ink, ok := m.(*image.CMYK)
	if !ok {
		return nil, errors.New("four components did not become CMYK")
	}
	for i, v := range ink.Pix {
		ink.Pix[i] = 255 - v
	}
	return ink, nil
}
