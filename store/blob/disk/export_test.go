package disk

import "os"

// Faults replaces what can fail on a disk. A nil field keeps the real call.
type Faults struct {
	Write   func(f *os.File, p []byte) (int, error)
	Sync    func(f *os.File) error
	Rename  func(from, to string) error
	SyncDir func(dir string) error
}

// Inject lets s meet the faults from now on.
func (s *Store) Inject(f Faults) {
	if f.Write != nil {
		s.sys.write = f.Write
	}
	if f.Sync != nil {
		s.sys.sync = f.Sync
	}
	if f.Rename != nil {
		s.sys.rename = f.Rename
	}
	if f.SyncDir != nil {
		s.sys.syncDir = f.SyncDir
	}
}

// SyncDir is the real one.
func SyncDir(dir string) error { return syncDir(dir) }
