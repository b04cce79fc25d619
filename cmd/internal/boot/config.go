// Package boot is the only wiring: it reads flags and environment, opens Redis, the ledger and the blobs, each embedded or real, and runs a role.
//
// Nothing below imports it (the compiler sees to that: only cmd/ can), and no other code asks which mode it is in.
package boot

import (
	"fmt"
	"net/url"
	"path/filepath"
	"time"
)

// Role is which of Millrace's parts a process is.
type Role string

// The roles that a person starts. Their children are named by the supervisor.
const (
	Serve     Role = "serve"
	API       Role = "api"
	Workers   Role = "worker"
	Scheduler Role = "scheduler"
)

// Config is everything that can be set. Each field's flag is its name with dashes, its variable MILLRACE_ and the name in capitals; the stores
// are REDIS_URL, DATABASE_URL and BLOB_URL.
type Config struct {
	Addr       string        // MILLRACE_ADDR: where to listen
	DataDir    string        // MILLRACE_DATA_DIR: ledger, blobs and lock of an embedded server; blobs of the roles by themselves
	Workers    int           // MILLRACE_WORKERS: worker processes of serve; 0: one per core
	Processes  int           // MILLRACE_PROCESSES: children of api or worker; 0: one per core
	CPU        int           // MILLRACE_CPU: slots of each worker process for work that computes
	IO         int           // MILLRACE_IO: slots of each worker process for work that waits
	Memory     byteSize      // MILLRACE_MEMORY: what the jobs of one worker process may reserve; 0: a share of the machine's
	Grace      time.Duration // MILLRACE_GRACE: how long running attempts may go on once a drain began
	DrainDelay time.Duration // MILLRACE_DRAIN_DELAY: between readyz 503 and the end of accepting
	MaxUpload  byteSize      // MILLRACE_MAX_UPLOAD
	MaxJobs    int           // MILLRACE_MAX_JOBS
	LogFormat  string        // MILLRACE_LOG_FORMAT: text or json
	LogLevel   string        // MILLRACE_LOG_LEVEL: debug, info, warn or error

	ImageEngine string // MILLRACE_IMAGE_ENGINE: auto, go or vips
	Vips        string // MILLRACE_VIPS: the image helper's program; "": beside this one, or in PATH

	DashboardWrite bool // MILLRACE_DASHBOARD_WRITE: let the asynq dashboard change the queue (hints only; the ledger decides)
	PublicMetrics  bool // MILLRACE_PUBLIC_METRICS: /metrics asks for no credential

	Hosts    []string // MILLRACE_HOSTS: names besides loopback's under which a browser may reach the server
	RedisURL string   // REDIS_URL
	Database string   // DATABASE_URL
	BlobURL  string   // BLOB_URL: file:///…

	AdminKey  string // MILLRACE_ADMIN_KEY, or the file named in MILLRACE_ADMIN_KEY_FILE: at least 32 characters
	JWTSecret string // MILLRACE_JWT_SECRET, or the file named in MILLRACE_JWT_SECRET_FILE: HS256, at least 32 bytes
	JWTIssuer string // MILLRACE_JWT_ISSUER: iss must equal it
	JWTAud    string // MILLRACE_JWT_AUDIENCE: aud must hold it

	names map[string]string // what the person used to set each flag of the role: --cpu, or MILLRACE_CPU
}

func (c *Config) authOn() bool { return c.AdminKey != "" || c.JWTSecret != "" }

// blobDir is the directory of the bytes: BLOB_URL's, or one below the data directory.
func (c *Config) blobDir() string {
	if u, err := url.Parse(c.BlobURL); err == nil && c.BlobURL != "" {
		return u.Path
	}
	return filepath.Join(c.DataDir, "blobs")
}

// ConfigError is a mistake that the person who started the process can mend: one line, exit code 2.
type ConfigError struct{ Line string }

func (e *ConfigError) Error() string { return e.Line }

func configError(format string, args ...any) error {
	return &ConfigError{Line: fmt.Sprintf(format, args...)}
}
