package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/cmd/internal/boot"
)

func jobCommand(server *serverFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "job [flags] ID", Short: "Show a job; exit code 1 when it failed or was canceled", Args: needArgs(1, 1, "the id of a job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := server.client().Job(cmd.Context(), args[0])
			if err != nil {
				return said(err)
			}
			if err := printJob(cmd.OutOrStdout(), job, asJSON); err != nil || !job.Final() {
				return err
			}
			return outcome(job)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the whole job as JSON")
	return cmd
}

// printJob prints a job for people, one fact a line, or as JSON on one line for programs.
func printJob(w io.Writer, job *client.Job, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(w, "%s\n", strings.TrimSpace(string(job.Raw)))
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s", job.ID, job.Type, job.State)
	if job.Cached {
		b.WriteString("  (from the cache)")
	}
	b.WriteByte('\n')
	if job.Error != nil {
		fmt.Fprintf(&b, "  error   %s: %s\n", job.Error.Code, job.Error.Message)
	}
	for _, o := range job.Outputs {
		fmt.Fprintf(&b, "  output  %s  %d bytes  %s  %s\n", o.Name, o.Size, o.ContentType, o.URL)
	}
	if len(job.Result) > 0 && string(job.Result) != "null" {
		var pretty strings.Builder
		enc := json.NewEncoder(&pretty)
		enc.SetIndent("  ", "  ")
		if err := enc.Encode(job.Result); err == nil {
			fmt.Fprintf(&b, "  result  %s", pretty.String())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// reporter prints a plain line for each change of state and each tenth of progress: the same in a terminal and in a pipe.
func reporter(w io.Writer) func(*client.Job) {
	last := ""
	return func(job *client.Job) {
		line := job.State
		if job.State == "running" && job.Progress.Total > 0 {
			line = fmt.Sprintf("running %d %%", int(job.Progress.Percent)/10*10)
		}
		if line != last {
			fmt.Fprintln(w, line)
			last = line
		}
	}
}

// outcome is nil for a job that succeeded; the others end the command with 1.
func outcome(job *client.Job) error {
	switch {
	case job.State == "succeeded":
		return nil
	case job.Error != nil:
		return fmt.Errorf("job %s %s: %s", job.ID, job.State, job.Error.Message)
	}
	return fmt.Errorf("job %s %s", job.ID, job.State)
}

// said turns the client's errors into exit codes: a server that is no URL is a mistake in how the command was used.
func said(err error) error {
	if errors.Is(err, client.ErrServer) {
		return usage("--server or MILLRACE_SERVER: %v", err)
	}
	return err
}

// usage is a mistake in how the command was used: exit code 2.
func usage(format string, args ...any) error {
	return &boot.ConfigError{Line: fmt.Sprintf(format, args...)}
}

func needArgs(low, high int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low {
			return usage("%s needs %s; see --help", cmd.CommandPath(), what)
		}
		if high >= 0 && len(args) > high {
			return usage("%s takes %d argument; see --help", cmd.CommandPath(), high)
		}
		return nil
	}
}
