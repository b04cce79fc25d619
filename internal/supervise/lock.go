package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// lockName is the file in a data directory that is locked; it stays there, since removing it would let two processes lock two files of one name.
const lockName = "lock"

// lockPoll is how often a taken lock is tried again. flock itself cannot wait for a limited time.
const lockPoll = 50 * time.Millisecond

// HeldError says who holds a data directory.
type HeldError struct {
	Dir string
	PID int // 0 where the holder has not written its number
}

func (e *HeldError) Error() string {
	switch _, alive := ProcessStart(e.PID); {
	case e.PID == 0:
		return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
	case alive:
		return fmt.Sprintf("data directory %s is in use by process %d", e.Dir, e.PID)
	default:
		return fmt.Sprintf("data directory %s is in use by children of process %d, which itself has ended", e.Dir, e.PID)
	}
}

// DirLock is a data directory that belongs to this process and to the children it is handed to. The kernel frees it when the last of them has ended,
// however they ended.
type DirLock struct{ file *os.File }

// Lock takes the directory, which must exist, and waits for it as long as wait. Where it stays taken the error is a *HeldError.
func Lock(ctx context.Context, dir string, wait time.Duration) (*DirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := waitForLock(ctx, f, dir, wait); err != nil {
		f.Close()
		return nil, err
	}
	// For people and for HeldError; the lock itself does not depend on it.
	if err := sign(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return &DirLock{f}, nil
}

func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}

func waitForLock(ctx context.Context, f *os.File, dir string, wait time.Duration) error {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err := tryLock(f)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("lock data directory: %w", err)
		}
		select {
		case <-poll.C:
		case <-limit.C:
			return &HeldError{Dir: dir, PID: holder(f)}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// holder reads the number that the holder wrote.
func holder(f *os.File) int {
	var text [20]byte
	n, _ := f.ReadAt(text[:], 0) // a short read is the rule
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// File is what Child.Files takes, under any name: a child holds the lock by having it. It belongs to the DirLock.
func (l *DirLock) File() *os.File { return l.file }

// Close gives up this process's part in the lock.
func (l *DirLock) Close() error { return l.file.Close() }
