package boot

import (
	"cmp"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/internal/dispatch"
)

// flags declares what a role can be told, with the defaults that stand in --help.
func (c *Config) flags(fs *pflag.FlagSet, role Role) {
	fs.SortFlags = false
	if role != Workers {
		addr, what := "127.0.0.1:8080", "address to listen on; beyond loopback a key must be set"
		if role == Scheduler {
			addr, what = "127.0.0.1:8081", "address of its health and metrics; beyond loopback a key must be set"
		}
		fs.StringVar(&c.Addr, "addr", addr, what)
	}
	if role == Serve {
		fs.StringVar(&c.DataDir, "data-dir", "./data", "directory of the ledger and the files")
	} else {
		fs.StringVar(&c.DataDir, "data-dir", "", "directory shared by api, worker and scheduler, for files where BLOB_URL is not set")
	}
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
		fs.IntVar(&c.MaxJobs, "max-jobs", dispatch.DefaultMaxJobs, "jobs that may wait for a worker in all; more are refused with 429")
		c.MaxUpload = 10 << 30
		fs.Var(&c.MaxUpload, "max-upload", "largest file that is taken in, such as 10GiB")
		fs.DurationVar(&c.DrainDelay, "drain-delay", 0, "time between readyz turning 503 and the end of accepting, for a load balancer to notice")
		fs.StringSliceVar(&c.Hosts, "hosts", nil, "host names under which browsers may reach the server, besides loopback's")
		fs.BoolVar(&c.DashboardWrite, "dashboard-write", false, "let the asynq dashboard change the queue")
		fs.BoolVar(&c.PublicMetrics, "public-metrics", false, "answer /metrics without a credential")
	}
	fs.StringVar(&c.ImageEngine, "image-engine", engineAuto, "what does pictures: vips (libvips, in helpers), go, or auto: vips where it works")
	fs.StringVar(&c.Vips, "vips", "", "the helper for libvips, where it is neither beside this program nor in PATH")
	fs.StringVar(&c.LogFormat, "log-format", "text", "text or json, on stderr")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
}

// environment fills in what the command line left open. A flag wins over its variable.
func (c *Config) environment(fs *pflag.FlagSet, getenv func(string) string) error {
	c.names = make(map[string]string)
	var failed error
	fs.VisitAll(func(f *pflag.Flag) {
		name, value := variable(f.Name), getenv(variable(f.Name))
		c.names[f.Name] = "--" + f.Name
		if f.Changed || value == "" || failed != nil || builtIn(f.Name) {
			return
		}
		c.names[f.Name] = name
		if err := fs.Set(f.Name, value); err != nil {
			failed = badValue(name, value, f)
		}
	})
	if failed != nil {
		return failed
	}
	for _, v := range c.variables() {
		value, err := v.read(getenv)
		if err != nil {
			return err
		}
		*v.to = value
	}
	return nil
}

// builtIn says whether a flag asks for something instead of setting it.
func builtIn(flag string) bool { return flag == "help" || flag == "version" }

// FlagError puts a mistake on the command line into words, without those of Go's own parsers.
func FlagError(err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return badValue("--"+invalid.GetFlag().Name, invalid.GetValue(), invalid.GetFlag())
	}
	return configError("%v; see --help", err)
}

func badValue(name, value string, f *pflag.Flag) error {
	kinds := map[string]string{"int": "a whole number", "bool": "true or false", "duration": "a duration such as 30s or 1m30s",
		"size": "a size such as 512MiB", "stringSlice": "values with commas between them"}
	return configError("%s must be %s, not %q; see --help", name, cmp.Or(kinds[f.Value.Type()], f.Value.Type()), value)
}

// variable is the environment's name of a flag.
func variable(flag string) string {
	return "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// byteSize is a number of bytes that is written with a unit.
type byteSize int64

// String writes the size as a person would. A plain 0 is what pflag does not print as a default.
func (b *byteSize) String() string {
	if *b <= 0 {
		return "0"
	}
	return strings.ReplaceAll(humanize.IBytes(uint64(*b)), " ", "")
}

// Set reads "512MiB", "10GB" or a plain number of bytes.
func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err == nil && n > math.MaxInt64 {
		err = strconv.ErrRange
	}
	if err != nil {
		return err
	}
	*b = byteSize(n)
	return nil
}

// Type is the word for the value in --help.
func (b *byteSize) Type() string { return "size" }
