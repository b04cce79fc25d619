package handlers

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// decompress undoes one layer of compression, with the output bounded in bytes and by ratio, and memory by the window.
func decompress(ctx context.Context, call *tasks.Call, p tasks.DecompressParams) (any, error) {
	src, in, err := openSource(ctx, call)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	buffered := bufio.NewReaderSize(src, chunk)
	d, err := sniff(buffered, p.Codec)
	if err != nil {
		own, _ := src.fault(err)
		return nil, own
	}
	limit := outputLimit(p, src.total)
	if d.size > limit {
		return nil, tooLarge(limit)
	}
	release, err := call.Reserve(ctx, d.memory)
	if err != nil {
		return nil, err
	}
	defer release()
	out, err := call.Create(ctx, d.outputName(call.Inputs()[0].Name))
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	written := &counter{w: io.MultiWriter(out, digest)}
	if err := decode(src, d, buffered, written, limit); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return tasks.DecompressResult{
		InBytes: src.done, OutBytes: written.n, Codec: d.codec, SHA256: hex.EncodeToString(digest.Sum(nil)),
	}, nil
}

// decode moves the whole stream through d into w and stops one byte behind limit.
func decode(src *source, d decoding, r io.Reader, w *counter, limit int64) error {
	fail := func(err error) error {
		if own, ok := src.fault(err); ok {
			return own
		}
		return corrupt(d.codec, err)
	}
	dec, err := d.open(r)
	if err != nil {
		return fail(err)
	}
	defer dec.Close()
	bounded := &io.LimitedReader{R: untilDone{src, dec}, N: limit + 1}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bounded}, make([]byte, chunk)); err != nil {
		if w.err != nil {
			own, _ := src.fault(w.err)
			return own
		}
		return fail(err)
	}
	if w.n > limit {
		return tooLarge(limit)
	}
	return nil
}

// untilDone ends with the context between two chunks of output: a bomb reads next to nothing, so the source alone would not notice.
type untilDone struct {
	src *source
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.src.ctx.Err() != nil {
		return 0, context.Cause(u.src.ctx)
	}
	return u.r.Read(p)
}

// ratioFloor is what every input may become whatever its ratio: small files of zeros are no attack.
const ratioFloor = 1 << 20

// outputLimit is the smaller of both bounds.
func outputLimit(p tasks.DecompressParams, in int64) int64 {
	if p.MaxRatio == 0 || in > p.MaxBytes/p.MaxRatio {
		return p.MaxBytes
	}
	return min(p.MaxBytes, max(ratioFloor, in*p.MaxRatio))
}

func tooLarge(limit int64) error {
	return millrace.BadInput(millrace.CodeTooLarge, "the output would be larger than the limit of %d bytes (max_bytes, max_ratio)", limit)
}
