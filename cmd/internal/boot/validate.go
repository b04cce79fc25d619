package boot

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store/postgres"
)

// minMemory lets a worker process hold one job of any type; less would only make jobs wait for each other.
const minMemory = 64 << 20

// validate checks everything that can be judged before anything is opened or made, and fills in what depends on the machine.
func (c *Config) validate(role Role, getenv func(string) string) error {
	if role == Serve && c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.Processes == 0 {
		c.Processes = runtime.NumCPU()
	}
	for _, check := range []func() error{
		func() error { return c.validateNumbers(role) },
		c.validateTimes,
		c.validateSizes,
		c.validateImages,
		c.validateHosts,
		func() error { return later(getenv) },
		c.validateSecrets,
		func() error { return c.validateStores(role) },
		func() error { return c.validateBlobs(role) },
		c.validateAddr,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) validateNumbers(role Role) error {
	for _, n := range []struct {
		flag     string
		value    int
		min, max int
	}{{"workers", c.Workers, 1, 512}, {"processes", c.Processes, 1, 512}, {"cpu", c.CPU, 0, 256}, {"io", c.IO, 0, 4096},
		{"max-jobs", c.MaxJobs, 1, 1_000_000_000}} {
		if name, ok := c.names[n.flag]; ok && (n.value < n.min || n.value > n.max) {
			return configError("%s must be between %d and %d, not %d", name, n.min, n.max, n.value)
		}
	}
	switch {
	case role == Serve && (c.CPU == 0 || c.IO == 0):
		return configError("--cpu and --io must be at least 1: nothing else would do the jobs of that pool")
	case role == Workers && c.CPU == 0 && c.IO == 0:
		return configError("--cpu and --io are both 0: give at least one of them a slot")
	}
	return nil
}

func (c *Config) validateTimes() error {
	for _, d := range []struct {
		flag     string
		value    time.Duration
		min, max time.Duration
	}{{"grace", c.Grace, time.Second, time.Hour}, {"drain-delay", c.DrainDelay, 0, time.Minute}} {
		if name, ok := c.names[d.flag]; ok && (d.value < d.min || d.value > d.max) {
			return configError("%s must be between %v and %v, not %v", name, d.min, d.max, d.value)
		}
	}
	return nil
}

func (c *Config) validateSizes() error {
	if name, ok := c.names["memory"]; ok && c.Memory != 0 && c.Memory < minMemory {
		return configError("%s must be 0 or at least 64MiB, not %s", name, &c.Memory)
	}
	if name, ok := c.names["max-upload"]; ok && c.MaxUpload == 0 {
		return configError("%s must be more than 0", name)
	}
	return nil
}

// validateHosts refuses what no Host header can equal, such as a URL.
func (c *Config) validateHosts() error {
	for _, host := range c.Hosts {
		if strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") != "" || host == "" {
			return configError("%s takes host names such as mill.example.com, not %q", c.names["hosts"], host)
		}
	}
	return nil
}

// later refuses the settings of later releases: ignored, they would seem to work.
func later(getenv func(string) string) error {
	for _, name := range []string{"MILLRACE_JWKS_URL", "MILLRACE_WEBHOOK_SECRET", "MILLRACE_WEBHOOK_SECRET_FILE", "MILLRACE_SOURCES", "MILLRACE_ALLOW"} {
		if getenv(name) != "" {
			return configError("%s is set, and this release does not have what it configures; unset it", name)
		}
	}
	return nil
}

func (c *Config) validateSecrets() error {
	if err := (auth.Config{AdminKey: c.AdminKey, JWTSecret: c.JWTSecret, Issuer: c.JWTIssuer, Audience: c.JWTAud}).Validate(); err != nil {
		return configError("%v; make a secret with: openssl rand -hex 32", err)
	}
	return nil
}

// validateStores checks the addresses without using them. Their own errors are not repeated where they could hold the password.
func (c *Config) validateStores(role Role) error {
	var missing []string
	if c.RedisURL == "" {
		missing = append(missing, "REDIS_URL")
	}
	if c.Database == "" {
		missing = append(missing, "DATABASE_URL")
	}
	if role != Serve && len(missing) > 0 {
		return configError("%s must be set; for everything on one machine without them, run: millrace serve", strings.Join(missing, " and "))
	}
	if c.RedisURL != "" {
		client, err := queue.Dial(c.RedisURL, queue.Options{})
		if err != nil {
			return configError("REDIS_URL: %v; it must look like redis://:password@host:6379/0", err)
		}
		_ = client.Close()
	}
	if c.Database != "" && (postgres.Config{DSN: c.Database}).Validate() != nil {
		return configError("DATABASE_URL is no address of PostgreSQL; it must look like postgres://user:password@host:5432/database")
	}
	return nil
}

// validateBlobs settles where the bytes are: a directory, from BLOB_URL or below the data directory.
func (c *Config) validateBlobs(role Role) error {
	if c.BlobURL == "" {
		if c.DataDir == "" && role == Serve {
			return configError("%s must not be empty", c.names["data-dir"])
		}
		if c.DataDir == "" {
			return configError("BLOB_URL or --data-dir must be set: the directory that api, worker and scheduler share, such as BLOB_URL=file:///shared/directory")
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

// validateAddr refuses to offer an open server to a network.
func (c *Config) validateAddr() error {
	name, ok := c.names["addr"]
	if !ok {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "" {
		return configError("%s must look like 127.0.0.1:8080, not %q", name, c.Addr)
	}
	if c.authOn() || loopback(host) {
		return nil
	}
	return configError("%s: %s can be reached from other machines; set MILLRACE_ADMIN_KEY (at least %d characters) or MILLRACE_JWT_SECRET first",
		name, c.Addr, auth.MinSecret)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
