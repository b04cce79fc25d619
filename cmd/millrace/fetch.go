package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/client"
)

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

// fetchTo writes an output to a file.
func fetchTo(ctx context.Context, c *client.Client, o client.Output, target string) error {
	return writeFile(target, 0o666, func(w io.Writer) error { return c.Download(ctx, o, w) })
}

// writeFile writes beside the target and renames, so that the file appears whole or not at all. What is no regular file, such as /dev/null or a
// pipe, is written to as it is. The umask takes from mode what it does from any file's.
func writeFile(target string, mode os.FileMode, write func(io.Writer) error) (err error) {
	if real, err := filepath.EvalSymlinks(target); err == nil {
		target = real // the link stays one
	}
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		return writeInto(target, write)
	}
	// Not os.CreateTemp, whose files are for this user alone.
	f, err := os.OpenFile(filepath.Join(filepath.Dir(target), ".millrace-"+rand.Text()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}

func writeInto(target string, write func(io.Writer) error) error {
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
