package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/millrace/millrace/tasks"
)

// compress streams the input through an encoder into <name>.gz, .zst or .s2.
func compress(ctx context.Context, call *tasks.Call, p tasks.CompressParams) (any, error) {
	enc, err := encodingFor(p.Codec, p.Level)
	if err != nil {
		return nil, err
	}
	release, err := call.Reserve(ctx, enc.memory)
	if err != nil {
		return nil, err
	}
	defer release()
	src, in, err := openSource(ctx, call)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := call.Create(ctx, withSuffix(call.Inputs()[0].Name, enc.suffix))
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	written := &counter{w: io.MultiWriter(out, digest)}
	if err := encode(src, written, enc); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return tasks.CompressResult{
		InBytes:  src.done,
		OutBytes: written.n,
		Ratio:    ratio(src.done, written.n),
		SHA256:   hex.EncodeToString(digest.Sum(nil)),
	}, nil
}

// encode moves all of src through a fresh encoder. The encoder is closed in any case, for the memory and goroutines it may hold.
func encode(src *source, w io.Writer, enc encoding) error {
	e, err := enc.open(w, src.total)
	if err != nil {
		return fmt.Errorf("open encoder: %w", err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{e}, src, make([]byte, chunk)); err != nil {
		own, _ := src.fault(err)
		e.Close()
		return own
	}
	return e.Close()
}

// ratio is in ÷ out, 0 when there was nothing to compress.
func ratio(in, out int64) float64 {
	if in == 0 || out == 0 {
		return 0
	}
	return float64(in) / float64(out)
}
