//go:build !vips

package main

import (
	"errors"
	"io"
)

func run(io.Reader, io.Writer) error {
	return errors.New("built without libvips; install its headers (libvips-dev) and run scripts/build")
}
