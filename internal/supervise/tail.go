package supervise

import (
	"bytes"
	"strings"
	"sync"
)

// How much of a child's stderr is kept.
const (
	tailLines = 20
	tailBytes = 4 << 10
)

// tail keeps the last lines that were written to it, and the line with which Go began to say why it gives up, since the stacks that follow may be long.
type tail struct {
	mu    sync.Mutex
	cause string
	last  []byte
}

// Write never fails: what cannot be kept is not kept.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	if t.cause == "" {
		t.cause = findCause(t.last)
	}
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(p), nil
}

// findCause is the first whole line that tells of a panic or a fatal error.
func findCause(text []byte) string {
	for line := range bytes.Lines(text) {
		whole := bytes.HasSuffix(line, []byte("\n"))
		if whole && (bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))) {
			return string(bytes.TrimSpace(line[:min(len(line), tailBytes/4)]))
		}
	}
	return ""
}

// String is what was kept, as valid text.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(t.last), "\uFFFD")), "\n")
	text := strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
	if t.cause != "" && !strings.Contains(text, t.cause) {
		text = t.cause + "\n…\n" + text
	}
	return text
}
