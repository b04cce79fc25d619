// Package backup writes an embedded server's whole state as one tar stream, while the server runs, and puts it back into an empty directory.
//
//	manifest.json        what this is and who wrote it
//	millrace.db          a consistent copy of the ledger
//	blobs/<sha256>/<salt> every blob that the copy refers to
//	complete.json        the last entry: without it the stream was cut
//
// Blobs never change, so only their removal could make the copy of the ledger and the bytes disagree: collecting rests meanwhile. Package backup
// is not for ledgers in PostgreSQL or bytes elsewhere, which have tools of their own.
package backup

import (
	"errors"
	"time"
)

const (
	format       = 1 // of the stream; raised when an older program could not read it
	manifestName = "manifest.json"
	ledgerName   = "millrace.db"
	completeName = "complete.json"
	blobsPrefix  = "blobs/"
	maxNote      = 1 << 20 // bytes of a JSON entry
)

// Manifest says what a stream holds.
type Manifest struct {
	Format    int       `json:"format"`
	Version   string    `json:"version"` // of the program that wrote it
	CreatedAt time.Time `json:"created_at"`
	BlobStore string    `json:"blob_store"` // its id, which the ledger knows
}

// Summary is what was written or restored. As the stream's last entry it proves that nothing is missing behind.
type Summary struct {
	LedgerSHA256 string   `json:"ledger_sha256"`
	Blobs        int      `json:"blobs"`
	Bytes        int64    `json:"bytes"`             // of all blobs
	Missing      []string `json:"missing,omitempty"` // keys that the ledger refers to and the store had lost or damaged; at most maxMissing are named
}

func (s *Summary) miss(key string) {
	if len(s.Missing) < maxMissing {
		s.Missing = append(s.Missing, key)
	}
}

const maxMissing = 100

// Errors of Restore. Their texts are for whoever typed the command.
var (
	ErrNotEmpty  = errors.New("the directory is not empty; restore into a new one")
	ErrNotBackup = errors.New("this is no backup of Millrace")
	ErrNewer     = errors.New("the backup was written by a newer Millrace; restore it with that version")
	ErrCut       = errors.New("the backup ends too early; it was cut while it was made or copied")
	ErrDamaged   = errors.New("the backup is damaged")
)
