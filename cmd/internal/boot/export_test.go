package boot

import "github.com/spf13/pflag"

// EnvironmentOnly are the settings without a flag.
func EnvironmentOnly() []string {
	var names []string
	for _, v := range new(Config).variables() {
		names = append(names, v.name)
		if v.file {
			names = append(names, v.name+"_FILE")
		}
	}
	return names
}

// Variable is the environment's name of a flag.
func Variable(flag string) string { return variable(flag) }

// Load is how a role comes to its configuration.
func Load(role Role, args []string, env map[string]string) (Config, error) {
	var c Config
	fs := pflag.NewFlagSet(string(role), pflag.ContinueOnError)
	c.flags(fs, role)
	if err := fs.Parse(args); err != nil {
		return c, FlagError(err)
	}
	getenv := func(name string) string { return env[name] }
	if err := c.environment(fs, getenv); err != nil {
		return c, err
	}
	return c, c.validate(role, getenv)
}

// BlobDir is where the bytes are.
func (c *Config) BlobDir() string { return c.blobDir() }

// MemoryBudget is what the jobs of one worker process may reserve.
func MemoryBudget(c Config) int64 { return memoryBudget(c) }
