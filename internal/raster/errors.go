package raster

import (
	"errors"

	"github.com/millrace/millrace"
)

// corrupt is the error of a picture whose bytes are not what its format says. The reason stays in the logs: it is the decoder's wording.
func corrupt(f Format, reason error) error {
	err := millrace.BadInput(millrace.CodeCorrupt, "the %s is damaged or cut short; send it again or save it anew", f.label())
	err.Err = reason
	return err
}

// classified leaves an error that says what it is and makes every other one of a decoder the picture's own.
func classified(f Format, err error) error {
	if _, ok := errors.AsType[*millrace.Error](err); ok {
		return err
	}
	return corrupt(f, err)
}

// unsupported is the error of a picture that this engine does not read.
func unsupported(format string, args ...any) error {
	return millrace.BadInput(millrace.CodeUnsupportedFormat, format, args...)
}

// paletteError is a pixel whose colour its palette does not have: found while resizing, and yet the picture's own fault.
type paletteError string

func (e paletteError) Error() string { return string(e) }
