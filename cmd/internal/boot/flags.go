package boot

import (
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
)

// flags declares what a role can be told, with the defaults that stand in --help.
func (c *Config) flags(fs *pflag.FlagSet, role Role) {
	fs.SortFlags = false
	if role != Workers {
		fs.StringVar(&c.Addr, "addr", "127.0.0.1:8080", "address to listen on; beyond loopback a key must be set")
	}
	dataDir := "./data"
	if role != Serve {
		dataDir = ""
	}
	fs.StringVar(&c.DataDir, "data-dir", dataDir, "directory of the ledger and the files; shared by all roles where they run apart")
	switch role {
	case Serve:
		fs.IntVar(&c.Workers, "workers", 0, "worker processes; 0 means one per core")
	case API:
		fs.IntVar(&c.Processes, "processes", 1, "api processes that share the address; 0 means one per core")
	case Workers:
		fs.IntVar(&c.Processes, "processes", 0, "worker processes; 0 means one per core")
	}
	if role == Serve || role == Workers {
		fs.IntVar(&c.CPU, "cpu", 1, "jobs that compute, at once in each worker process")
		fs.IntVar(&c.IO, "io", 16, "jobs that mostly wait, at once in each worker process")
		fs.Var(&c.Memory, "memory", "what the jobs of one worker process may use, such as 512MiB; 0 means a share of the machine's")
		fs.DurationVar(&c.Grace, "grace", 25*time.Second, "how long running jobs may go on after SIGTERM before they are put back")
	}
	if role == Serve || role == API {
		c.MaxUpload = 10 << 30
		fs.Var(&c.MaxUpload, "max-upload", "largest file that is taken in, such as 10GiB")
		fs.DurationVar(&c.DrainDelay, "drain-delay", 0, "time between readyz turning 503 and the end of accepting, for a load balancer to notice")
		fs.StringSliceVar(&c.Hosts, "hosts", nil, "host names under which browsers may reach the server, besides loopback's")
		fs.BoolVar(&c.DashboardWrite, "dashboard-write", false, "let the asynq dashboard change the queue")
		fs.BoolVar(&c.PublicMetrics, "public-metrics", false, "answer /metrics without a credential")
	}
	fs.StringVar(&c.LogFormat, "log-format", "text", "text or json, on stderr")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
}

// environment fills in what the command line left open. A flag wins over its variable.
func (c *Config) environment(fs *pflag.FlagSet, getenv func(string) string) error {
	var failed error
	fs.VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value := getenv(name)
		if f.Changed || value == "" || failed != nil {
			return
		}
		if err := fs.Set(f.Name, value); err != nil {
			failed = configError("%s=%q cannot be used: %s wants %s", name, value, "--"+f.Name, f.Usage)
		}
	})
	if failed != nil {
		return failed
	}
	c.RedisURL, c.Database, c.BlobURL = getenv("REDIS_URL"), getenv("DATABASE_URL"), getenv("BLOB_URL")
	c.JWTIssuer, c.JWTAud = getenv("MILLRACE_JWT_ISSUER"), getenv("MILLRACE_JWT_AUDIENCE")
	for name, to := range map[string]*string{
		"MILLRACE_ADMIN_KEY": &c.AdminKey, "MILLRACE_JWT_SECRET": &c.JWTSecret, "REDIS_URL": &c.RedisURL, "DATABASE_URL": &c.Database,
	} {
		value, err := secret(name, getenv)
		if err != nil {
			return err
		}
		*to = value
	}
	return nil
}

// variable is the environment's name of a flag.
func variable(flag string) string {
	return "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// secret reads a variable, or the file that its …_FILE names.
func secret(name string, getenv func(string) string) (string, error) {
	path := getenv(name + "_FILE")
	switch {
	case path == "":
		return getenv(name), nil
	case getenv(name) != "":
		return "", configError("%s and %s_FILE are both set; keep one", name, name)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", configError("%s_FILE cannot be read; check that the path exists and this user may read it", name)
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if value == "" {
		return "", configError("the file in %s_FILE is empty", name)
	}
	return value, nil
}

// byteSize is a number of bytes that is written with a unit.
type byteSize int64

// String writes the size as a person would.
func (b *byteSize) String() string { return humanize.IBytes(uint64(*b)) }

// Set reads "512MiB", "10GB" or a plain number of bytes.
func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return err
	}
	*b = byteSize(n)
	return nil
}

// Type is the word for the value in --help.
func (b *byteSize) Type() string { return "size" }
