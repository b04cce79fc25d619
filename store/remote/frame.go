package remote

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is four bytes of length, highest first, and that many bytes: see pack.

// maxFrame bounds a frame, and with it what one message can make the other side hold in memory.
const maxFrame = 16 << 20

const frameHeader = 4

// ErrTooLarge means that one outcome, or one job that was claimed, does not fit into a message. Repeating the call cannot help.
var ErrTooLarge = errors.New("message is larger than 16 MiB")

// readFrame reads one frame. io.EOF means that the stream ended between two frames.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(header[:]))
	if size > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes: %w", size, ErrTooLarge)
	}
	// The memory grows with what has come, not with what was announced.
	body, err := io.ReadAll(io.LimitReader(r, size))
	if err == nil && int64(len(body)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("frame of %d bytes: %w", size, err)
	}
	return body, nil
}

// writeFrame writes one frame; who sends several flushes once.
func writeFrame(w *bufio.Writer, body []byte) error {
	if len(body) > maxFrame {
		return ErrTooLarge
	}
	var header [frameHeader]byte
	binary.BigEndian.PutUint32(header[:], uint32(len(body)))
	if _, err := w.Write(header[:]); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// sendFrames writes what comes until the channel is closed or a write fails, which it reports. It flushes when nothing more waits.
func sendFrames(w io.Writer, frames <-chan []byte) error {
	buf := bufio.NewWriter(w)
	for body := range frames {
		if err := writeFrame(buf, body); err != nil {
			return err
		}
		if len(frames) > 0 {
			continue
		}
		if err := buf.Flush(); err != nil {
			return err
		}
	}
	return buf.Flush()
}
