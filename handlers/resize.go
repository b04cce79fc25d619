package handlers

import (
	"context"
	"io"
	"path"
	"strings"

	"github.com/millrace/millrace/tasks"
)

// Images is an engine that changes pictures. internal/raster is the one in pure Go.
type Images interface {
	// Resize changes the call's first input as p asks. It reserves memory and reports progress through call, makes its outputs by create, which
	// is told the variant's name, or "" where there are none, and the extension that fits the format, and returns soon after ctx has ended.
	Resize(ctx context.Context, call *tasks.Call, p tasks.ResizeParams, create func(name, extension string) (io.WriteCloser, error)) (tasks.ResizeResult, error)
	// Info describes the call's first input.
	Info(ctx context.Context, call *tasks.Call, p tasks.InfoParams) (tasks.InfoResult, error)
}

// resize does image.resize. The output is called as the input, with the extension of its own format; a variant's is called as the variant.
func resize(images Images) tasks.Handler[tasks.ResizeParams] {
	return func(ctx context.Context, call *tasks.Call, p tasks.ResizeParams) (any, error) {
		create := func(name, extension string) (io.WriteCloser, error) {
			if name != "" {
				return call.Create(ctx, name)
			}
			return call.Create(ctx, pictureName(call.Inputs()[0].Name, extension))
		}
		result, err := images.Resize(ctx, call, p, create)
		if err != nil {
			return nil, err
		}
		return result, nil
	}
}

// pictureName puts another extension to a name, and "image" where nothing is left of the name.
func pictureName(input, extension string) string {
	base := strings.TrimSuffix(input, path.Ext(input))
	if strings.Trim(base, ". ") == "" {
		base = "image"
	}
	return withSuffix(base, "."+extension)
}
