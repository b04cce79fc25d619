package boot

import (
	"io"
	"log/slog"
)

// logger writes to w in the configured format.
func (c *Config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, configError("%s must be debug, info, warn or error, not %q", c.names["log-level"], c.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, configError("%s must be text or json, not %q", c.names["log-format"], c.LogFormat)
}
