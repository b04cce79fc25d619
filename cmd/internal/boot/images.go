package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/internal/raster/order"
	"github.com/millrace/millrace/internal/vips"
	"github.com/millrace/millrace/tasks"
)

// The values of --image-engine.
const (
	engineAuto = "auto" // libvips where its helper is found and works
	engineGo   = "go"
	engineVips = "vips" // or no start
)

// probeWithin is how long the helper may take to say what it is, on a machine that is busy starting everything at once.
const probeWithin = 15 * time.Second

// imagesVariable tells children what their supervisor has found: one helper is started for that, not one by every process.
const imagesVariable = "MILLRACE_CHILD_IMAGES"

// validateImages refuses settings that cannot be meant, and libvips where it is asked for and not there.
func (c *Config) validateImages() error {
	if name, ok := c.names["image-engine"]; ok && !slices.Contains([]string{engineAuto, engineGo, engineVips}, c.ImageEngine) {
		return configError("%s must be auto, go or vips, not %q", name, c.ImageEngine)
	}
	if c.Vips != "" {
		if _, err := exec.LookPath(c.Vips); err != nil {
			return configError("%s: %q is no program that can be run; name the millrace-vips that scripts/build makes, or leave it out", c.names["vips"], c.Vips)
		}
	}
	return nil
}

// findImages has the image helper say what it is, once for all processes. Where libvips is a must, there is no start without it.
func (c *Config) findImages(ctx context.Context, role Role, log *slog.Logger) error {
	path, must := c.vipsPath(), c.ImageEngine == engineVips
	switch {
	case path == "" && must:
		return configError("%s is vips, and there is no millrace-vips beside this program or in PATH; install libvips and run scripts/build, or choose auto",
			c.names["image-engine"])
	case path == "", role == Workers && !must: // workers find out when there are pictures
		return nil
	}
	hello, err := probe(ctx, path)
	switch {
	case err != nil && must:
		return configError("%s is vips, and %s does not work (%.120s); choose auto to do without it", c.names["image-engine"], path, oneLine(err))
	case err != nil:
		log.Warn("the image helper does not work; pictures are done in Go", "path", path, "error", err)
		return nil
	}
	log.Debug("pictures are done by libvips where it can", "helper", path, "version", hello.Version, "reads", hello.Reads, "writes", hello.Writes)
	doc, err := json.Marshal(hello)
	if err != nil {
		return fmt.Errorf("tell the children of the image helper: %w", err)
	}
	return os.Setenv(imagesVariable, string(doc))
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func probe(ctx context.Context, path string) (order.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	return vips.Probe(ctx, path)
}

// vipsPath is the helper's program, or "" where pictures are left to Go.
func (c *Config) vipsPath() string {
	if c.ImageEngine == engineGo {
		return ""
	}
	return vips.Find(c.Vips)
}

// imageEngine is what a process that does no work says about images. It is part of the key of every result that is kept.
func imageEngine() tasks.Engine {
	var hello order.Hello
	if json.Unmarshal([]byte(os.Getenv(imagesVariable)), &hello) != nil || hello.Protocol != order.Protocol {
		hello = order.Hello{}
	}
	return raster.New().Describe(hello)
}

// images is the engine of a worker process. Its helpers are started when there are pictures; close ends them.
func images(c Config, log *slog.Logger) (engine *raster.Engine, stop func()) {
	path := c.vipsPath()
	if path == "" {
		return raster.New(), func() {}
	}
	helpers := vips.New(vips.Config{Path: path, Helpers: max(1, min(c.CPU, runtime.GOMAXPROCS(0))), Log: log})
	return raster.New().With(helpers), helpers.Close
}
