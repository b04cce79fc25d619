package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

var idPattern = regexp.MustCompile(`^[A-Z2-7]{26,64}\n?$`)

// ID is the random id that was made with the directory.
func (s *Store) ID(ctx context.Context) (string, error) { return s.id, ctx.Err() }

// openID reads the id, or makes it. Several processes may do so at once on a new directory: the first link wins, the others read it.
func (s *Store) openID() (string, error) {
	path := filepath.Join(s.dir, "id")
	id, err := readID(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	f, err := os.OpenFile(filepath.Join(s.temp(), "id-"+rand.Text()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = s.sys.write(f, []byte(rand.Text()+"\n"))
	err = errors.Join(err, s.sys.sync(f), f.Close())
	if err != nil {
		return "", err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if err := s.sys.syncDir(s.dir); err != nil {
		return "", err
	}
	return readID(path)
}

func readID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !idPattern.Match(b) {
		return "", fmt.Errorf("%s is damaged: restore it from a backup, or remove it if this directory belongs to no ledger yet", path)
	}
	if b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return string(b), nil
}
