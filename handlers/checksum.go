package handlers

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/zeebo/blake3"
	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/tasks"
)

// checksum feeds one read of the input to every digest asked for.
func checksum(ctx context.Context, call *tasks.Call, p tasks.ChecksumParams) (any, error) {
	digests := make(map[string]hash.Hash, len(p.Algorithms))
	writers := make([]io.Writer, 0, len(p.Algorithms))
	for _, name := range p.Algorithms {
		h, err := newDigest(name)
		if err != nil {
			return nil, err
		}
		digests[name] = h
		writers = append(writers, h)
	}
	src, in, err := openSource(ctx, call)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(writers...)}, src, make([]byte, 1+min(chunk, max(src.total, 0)))); err != nil {
		return nil, err
	}
	result := make(tasks.ChecksumResult, len(digests))
	for name, h := range digests {
		result[name] = hex.EncodeToString(h.Sum(nil))
	}
	return result, nil
}

func newDigest(name string) (hash.Hash, error) {
	switch name {
	case "sha256":
		return sha256.New(), nil
	case "sha1":
		return sha1.New(), nil
	case "md5":
		return md5.New(), nil
	case "blake3":
		return blake3.New(), nil
	case "xxh3":
		return xxh3.New(), nil
	case "crc32":
		return crc32.NewIEEE(), nil
	}
	return nil, fmt.Errorf("no digest %q", name)
}
