// Package boot is the only wiring: it reads flags and environment, opens Redis, the ledger and the blobs, each embedded or real, and runs a role.
//
// Nothing below imports it (the compiler sees to that: only cmd/ can), and no other code asks which mode it is in.
package boot

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
	LogFormat  string        // MILLRACE_LOG_FORMAT: text or json
	LogLevel   string        // MILLRACE_LOG_LEVEL: debug, info, warn or error

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
}

// ConfigError is a mistake that the person who started the process can mend: one line, exit code 2.
type ConfigError struct{ Line string }

func (e *ConfigError) Error() string { return e.Line }

func configError(format string, args ...any) error {
	return &ConfigError{Line: fmt.Sprintf(format, args...)}
}

// minSecret is the least length of a key or secret: 32 random characters of an alphabet of 32 or more cannot be guessed.
const minSecret = 32

// validate checks what belongs together, for a role, and fills in what depends on the machine.
func (c *Config) validate(role Role) error {
	if c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.Processes == 0 {
		c.Processes = runtime.NumCPU()
	}
	for _, n := range []struct {
		flag     string
		value    int
		min, max int
	}{{"--workers", c.Workers, 1, 512}, {"--processes", c.Processes, 1, 512}, {"--cpu", c.CPU, 0, 256}, {"--io", c.IO, 0, 4096}} {
		if n.value < n.min || n.value > n.max {
			return configError("%s must be between %d and %d, not %d", n.flag, n.min, n.max, n.value)
		}
	}
	if c.Grace < 0 || c.Grace > time.Hour || c.DrainDelay < 0 || c.DrainDelay > time.Minute {
		return configError("--grace must be at most 1h and --drain-delay at most 1m, neither below 0s")
	}
	if role != Serve && (c.RedisURL == "" || c.Database == "") {
		return configError("%s needs REDIS_URL and DATABASE_URL; for everything on one machine without them, run: millrace serve", role)
	}
	if err := c.validateSecrets(); err != nil {
		return err
	}
	if err := c.validateBlobs(role); err != nil {
		return err
	}
	if role == Workers {
		return nil
	}
	return c.validateAddr()
}

func (c *Config) validateSecrets() error {
	if c.AdminKey != "" && len(c.AdminKey) < minSecret {
		return configError("MILLRACE_ADMIN_KEY must have at least %d characters, it has %d; make one with: openssl rand -hex 32", minSecret, len(c.AdminKey))
	}
	if c.JWTSecret != "" && len(c.JWTSecret) < minSecret {
		return configError("MILLRACE_JWT_SECRET must have at least %d bytes, it has %d; make one with: openssl rand -hex 32", minSecret, len(c.JWTSecret))
	}
	for _, later := range []string{"MILLRACE_JWKS_URL", "MILLRACE_WEBHOOK_SECRET", "MILLRACE_SOURCES", "MILLRACE_ALLOW"} {
		if os.Getenv(later) != "" {
			return configError("%s is set, and this release does not have what it configures; unset it", later)
		}
	}
	return nil
}

// validateBlobs settles where the bytes are: a directory, from BLOB_URL or below the data directory.
func (c *Config) validateBlobs(role Role) error {
	if c.BlobURL == "" {
		if c.DataDir == "" && role == Serve {
			return configError("--data-dir must not be empty")
		}
		if c.DataDir == "" {
			return configError("%s needs BLOB_URL=file:///shared/directory or a --data-dir that api, worker and scheduler share", role)
		}
		return nil
	}
	u, err := url.Parse(c.BlobURL)
	switch {
	case err != nil:
		return configError("BLOB_URL is no URL; give file:///shared/directory")
	case u.Scheme == "s3":
		return configError("BLOB_URL: this release has no s3 store; give file:///shared/directory")
	case u.Scheme != "file" || u.Host != "" || !filepath.IsAbs(u.Path):
		return configError("BLOB_URL must look like file:///shared/directory")
	}
	return nil
}

func (c *Config) blobDir() string {
	if u, err := url.Parse(c.BlobURL); err == nil && c.BlobURL != "" {
		return u.Path
	}
	return filepath.Join(c.DataDir, "blobs")
}

// validateAddr refuses to offer an open server to a network.
func (c *Config) validateAddr() error {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "" {
		return configError("--addr must look like 127.0.0.1:8080, not %q", c.Addr)
	}
	if c.authOn() || loopback(host) {
		return nil
	}
	return configError("--addr %s can be reached from other machines; set MILLRACE_ADMIN_KEY (at least %d characters) or MILLRACE_JWT_SECRET first", c.Addr, minSecret)
}

func (c *Config) authOn() bool { return c.AdminKey != "" || c.JWTSecret != "" }

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
