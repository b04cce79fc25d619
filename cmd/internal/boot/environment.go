package boot

import (
	"fmt"
	"os"
	"strings"
)

// envSetting is a setting that the environment alone carries: on a command line every user of the machine could read it.
type envSetting struct {
	name, usage string
	file        bool // name_FILE may name a file with the value, as secrets are handed to containers
	to          *string
}

// variables are all of them.
func (c *Config) variables() []envSetting {
	return []envSetting{
		{"REDIS_URL", "Redis 6.2 or newer, such as redis://:password@host:6379/0", true, &c.RedisURL},
		{"DATABASE_URL", "PostgreSQL 13 or newer, such as postgres://user:password@host:5432/database", true, &c.Database},
		{"BLOB_URL", "where the files are, such as file:///shared/directory", false, &c.BlobURL},
		{"MILLRACE_ADMIN_KEY", "a key with every right, of 32 characters or more; turns authentication on", true, &c.AdminKey},
		{"MILLRACE_JWT_SECRET", "what tokens are signed with (HS256), of 32 characters or more; turns authentication on", true, &c.JWTSecret},
		{"MILLRACE_JWT_ISSUER", "the iss that tokens must carry", false, &c.JWTIssuer},
		{"MILLRACE_JWT_AUDIENCE", "the aud that tokens must carry", false, &c.JWTAud},
	}
}

// read takes the variable, or the file that its …_FILE names.
func (v envSetting) read(getenv func(string) string) (string, error) {
	value := getenv(v.name)
	if !v.file || getenv(v.name+"_FILE") == "" {
		return value, nil
	}
	if value != "" {
		return "", configError("%s and %s_FILE are both set; keep one", v.name, v.name)
	}
	raw, err := os.ReadFile(getenv(v.name + "_FILE"))
	if err != nil {
		return "", configError("%s_FILE cannot be read; check that it names a file that this user may read", v.name)
	}
	value = strings.TrimRight(string(raw), "\r\n")
	if value == "" {
		return "", configError("the file that %s_FILE names is empty; put the value into it", v.name)
	}
	return value, nil
}

// environmentHelp is what --help says besides the flags.
func environmentHelp(role Role) string {
	var b strings.Builder
	b.WriteString("\nEnvironment:\n  Each flag is also a variable: --log-level is MILLRACE_LOG_LEVEL. The flag wins.\n")
	var files []string
	for _, v := range new(Config).variables() {
		if role == Workers && strings.HasPrefix(v.name, "MILLRACE_") {
			continue // nobody calls a worker
		}
		fmt.Fprintf(&b, "  %-21s  %s\n", v.name, v.usage)
		if v.file {
			files = append(files, v.name)
		}
	}
	last := len(files) - 1
	fmt.Fprintf(&b, "  %s and %s may stand in files, named by …_FILE.\n", strings.Join(files[:last], ", "), files[last])
	if role == Serve {
		b.WriteString("  Without REDIS_URL, DATABASE_URL or BLOB_URL the server brings its own.\n")
	}
	b.WriteString("\nSignals:\n  SIGTERM or SIGINT drains and ends, a second one ends at once.")
	if role != Scheduler {
		b.WriteString(" SIGHUP replaces the processes one by one.")
	}
	b.WriteString("\n")
	return b.String()
}
