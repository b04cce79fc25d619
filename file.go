package millrace

import "time"

// File is a tenant's name for immutable bytes.
type File struct {
	ID          string // UUIDv7
	Tenant      string
	Name        string // cleaned: no path, no control characters, at most 255 bytes
	Size        int64  // bytes
	SHA256      string // hex
	ContentType string // sniffed from the bytes
	Blob        string // key in the blob store
	Job         string // the job whose output it is, or "" for an upload
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// Worker is one live process.
type Worker struct {
	ID       string // UUIDv7, new for every start and after a burial
	Host     string
	BootID   string // of the operating system: another one means that every pid is gone
	PID      int
	PIDStart int64  // when the process started, in the kernel's clock ticks: pids are reused
	Role     string // "worker" or "core"
	CPUSlots int
	IOSlots  int

	Running      []string // job ids
	MemoryUsed   int64    // bytes reserved by running jobs
	MemoryBudget int64    // bytes
	StartedAt    time.Time
	BeatAt       time.Time
}
