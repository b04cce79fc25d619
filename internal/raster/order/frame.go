package order

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What a frame may have. Neither side believes the other: a helper has met strangers' bytes, and a worker may talk to any program.
const (
	MaxHeader = 1 << 20
	MaxInput  = 32 << 20 // larger inputs go by path
	MaxOutput = 1 << 30
)

// headSize is that of the lengths in front of a frame: four bytes for its header, eight for the bytes that follow it.
const headSize = 12

// errFrame is what all faults of a frame are.
var errFrame = errors.New("not a frame")

// Write writes a header and says that body bytes follow, which the caller writes next.
func Write[T any](w io.Writer, header T, body int64) error {
	doc, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("encode the header of a frame: %w", err)
	}
	if len(doc) > MaxHeader {
		return fmt.Errorf("a header of %d bytes is too long: %w", len(doc), errFrame)
	}
	frame := make([]byte, headSize, headSize+len(doc))
	binary.BigEndian.PutUint32(frame, uint32(len(doc)))
	binary.BigEndian.PutUint64(frame[4:], uint64(body))
	_, err = w.Write(append(frame, doc...))
	return err
}

// Read reads a header and says how many bytes follow it, at most limit. At the end of the stream between two frames it answers io.EOF.
func Read[T any](r io.Reader, header *T, limit int64) (body int64, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		return 0, fmt.Errorf("read a frame: %w", err)
	}
	length, size := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint64(head[4:])
	if length > MaxHeader || size > uint64(limit) {
		return 0, fmt.Errorf("it announces %d and %d bytes: %w", length, size, errFrame)
	}
	doc := make([]byte, length)
	if _, err := io.ReadFull(r, doc); err != nil {
		return 0, fmt.Errorf("read the header of a frame: %w", err)
	}
	if err := json.Unmarshal(doc, header); err != nil {
		return 0, fmt.Errorf("read the header of a frame: %w", errors.Join(err, errFrame))
	}
	return int64(size), nil
}

// ReadAnswer reads an answer with its pictures, which have at most limit bytes together.
func ReadAnswer(r io.Reader, limit int64) (Answer, error) {
	var a Answer
	body, err := Read(r, &a, limit)
	if err != nil {
		return Answer{}, err
	}
	for i := range a.Pictures {
		p := &a.Pictures[i]
		if p.Bytes < 0 || p.Bytes > body {
			return Answer{}, fmt.Errorf("a picture of %d bytes, where %d follow: %w", p.Bytes, body, errFrame)
		}
		if err := p.check(); err != nil {
			return Answer{}, err
		}
		body -= p.Bytes
		p.Data = make([]byte, p.Bytes)
		if _, err := io.ReadFull(r, p.Data); err != nil {
			return Answer{}, fmt.Errorf("read a picture: %w", err)
		}
	}
	if body != 0 {
		return Answer{}, fmt.Errorf("%d bytes belong to no picture: %w", body, errFrame)
	}
	return a, nil
}

// check holds raw pixels to the size they state.
func (p *Picture) check() error {
	const side = 1 << 17
	if p.Width <= 0 || p.Height <= 0 || p.Width > side || p.Height > side || p.Bands < 1 || p.Bands > 4 {
		return fmt.Errorf("a picture of %d × %d pixels and %d bands: %w", p.Width, p.Height, p.Bands, errFrame)
	}
	if want := int64(p.Width) * int64(p.Height) * int64(p.Bands); p.Format == "" && p.Bytes != want {
		return fmt.Errorf("%d bytes for %d × %d pixels and %d bands: %w", p.Bytes, p.Width, p.Height, p.Bands, errFrame)
	}
	return nil
}
