package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
)

// submitFlags are what submit can be told besides the type and the files.
type submitFlags struct {
	params, output, priority string
	tags                     []string
	wait, noCache, json      bool
}

func submitCommand(server *serverFlags) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit [flags] TYPE [FILE…]",
		Short: "Upload files and submit a job for them; - is standard input",
		Example: `  millrace submit image.resize --params '{"width":800}' -o small.jpg photo.jpg
  tar c dir | millrace submit file.compress --wait -`,
		Args: needArgs(1, -1, "a task type, such as image.resize"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// So that a half-written output goes when a person has seen enough.
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := submit(ctx, server.client(), f, args[0], args[1:], cmd.OutOrStdout(), cmd.ErrOrStderr())
			if ctx.Err() != nil && err != nil {
				return errors.New("interrupted; a job that was submitted goes on")
			}
			return said(err)
		},
	}
	cmd.Flags().StringVar(&f.params, "params", "", "parameters of the type as JSON")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "wait, and write the output here: a file, a directory, or - for standard output")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until the job has ended")
	cmd.Flags().StringVar(&f.priority, "priority", "", "high, normal or low")
	cmd.Flags().StringSliceVar(&f.tags, "tag", nil, "a tag; may be repeated")
	cmd.Flags().BoolVar(&f.noCache, "no-cache", false, "compute again what was computed before")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the job as JSON")
	return cmd
}

func submit(ctx context.Context, c *client.Client, f submitFlags, typ string, files []string, out, progress io.Writer) error {
	spec, err := f.spec(typ)
	if err != nil {
		return err
	}
	if err := checkPaths(files, f.output); err != nil {
		return err
	}
	for _, path := range files {
		file, err := upload(ctx, c, path)
		if err != nil {
			return err
		}
		spec.Inputs = append(spec.Inputs, client.Input{File: file.ID})
	}
	job, err := c.Submit(ctx, spec)
	if err != nil {
		return err
	}
	if !f.wait && f.output == "" {
		return printJob(out, job, f.json)
	}
	if job, err = c.Wait(ctx, job.ID, reporter(progress)); err != nil {
		return err
	}
	if job.State == "succeeded" && f.output != "" {
		if err := fetch(ctx, c, job, f.output, out); err != nil {
			return err
		}
	}
	if f.output != "-" {
		if err := printJob(out, job, f.json); err != nil {
			return err
		}
	}
	return outcome(job)
}

func (f submitFlags) spec(typ string) (client.Spec, error) {
	spec := client.Spec{Type: typ, Priority: f.priority, Tags: f.tags}
	if f.params != "" {
		if !json.Valid([]byte(f.params)) {
			return spec, usage("--params is not JSON: %s", f.params)
		}
		spec.Params = json.RawMessage(f.params)
	}
	if f.noCache {
		spec.Cache = new(bool)
	}
	return spec, nil
}

// checkPaths finds what is wrong before the first byte is sent, and not when the job is done.
func checkPaths(files []string, output string) error {
	stdin := 0
	for _, path := range files {
		if path == "-" {
			stdin++
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return usage("%v", err)
		case info.IsDir():
			return usage("%s is a directory; give files, or pack it first: tar c %s | millrace submit … -", path, path)
		}
	}
	if stdin > 1 {
		return usage("standard input can be given once")
	}
	if output == "" || output == "-" {
		return nil
	}
	if _, err := os.Stat(output); err == nil {
		return nil
	}
	dir := filepath.Dir(output)
	if strings.HasSuffix(output, string(filepath.Separator)) {
		dir = output
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("--output %s: there is no directory %s", output, dir)
	}
	return nil
}

func upload(ctx context.Context, c *client.Client, path string) (client.File, error) {
	if path == "-" {
		return c.Upload(ctx, "stdin", os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return client.File{}, usage("%v", err)
	}
	defer f.Close()
	return c.Upload(ctx, filepath.Base(path), f)
}
