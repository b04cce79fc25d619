package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
			return submit(cmd.Context(), server.client(), f, args[0], args[1:], cmd.OutOrStdout(), cmd.ErrOrStderr())
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
	spec := client.Spec{Type: typ, Priority: f.priority, Tags: f.tags}
	if f.params != "" {
		if !json.Valid([]byte(f.params)) {
			return usage("--params is not JSON: %s", f.params)
		}
		spec.Params = json.RawMessage(f.params)
	}
	if f.noCache {
		spec.Cache = new(bool)
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

// fetch writes the outputs to path, a file, a directory or "-". A file appears whole or not at all.
func fetch(ctx context.Context, c *client.Client, job *client.Job, path string, out io.Writer) error {
	if path == "-" {
		if len(job.Outputs) != 1 {
			return fmt.Errorf("the job has %d outputs; -o - needs one", len(job.Outputs))
		}
		return c.Download(ctx, job.Outputs[0], out)
	}
	info, err := os.Stat(path)
	isDir := err == nil && info.IsDir()
	if !isDir && len(job.Outputs) != 1 {
		return fmt.Errorf("the job has %d outputs; -o must name a directory", len(job.Outputs))
	}
	for _, o := range job.Outputs {
		target := path
		if isDir {
			target = filepath.Join(path, filepath.Base(o.Name))
		}
		if err := fetchTo(ctx, c, o, target); err != nil {
			return err
		}
	}
	return nil
}

func fetchTo(ctx context.Context, c *client.Client, o client.Output, target string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(target), ".millrace-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = c.Download(ctx, o, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err = os.Chmod(f.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}
