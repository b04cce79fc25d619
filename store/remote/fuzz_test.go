package remote_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/millrace/millrace/store/remote"
)

// FuzzFrame: whatever comes, reading ends, holds no more than has come, and what was read writes back to the same bytes.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Add([]byte{0, 255, 255, 255, 1})
	f.Add([]byte("\x00\x00\x00\x1b{\"id\":1,\"method\":\"beat\"}\n{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		for {
			body, err := remote.ReadFrame(r)
			if err != nil {
				if err == io.EOF && w.Buffered()+out.Len() != len(in) {
					t.Errorf("clean end after %d of %d bytes", w.Buffered()+out.Len(), len(in))
				}
				break
			}
			if len(body) > len(in) {
				t.Fatalf("%d bytes from %d", len(body), len(in))
			}
			_ = remote.DecodeRequest(body) // must not panic
			if err := remote.WriteFrame(w, body); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(in, out.Bytes()) {
			t.Errorf("frames written back differ: %x of %x", out.Bytes(), in)
		}
	})
}

func TestFrameTooLarge(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	if err := remote.WriteFrame(w, make([]byte, remote.MaxFrame+1)); err == nil || w.Buffered() != 0 {
		t.Errorf("WriteFrame over the bound = %v with %d bytes written, want a refusal before the first", err, w.Buffered())
	}
	if err := errors.Join(remote.WriteFrame(w, make([]byte, remote.MaxFrame)), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if body, err := remote.ReadFrame(bufio.NewReader(&out)); err != nil || len(body) != remote.MaxFrame {
		t.Errorf("ReadFrame at the bound = %d bytes, %v", len(body), err)
	}
}
