package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/internal/boot"
)

func backupCommand(server *serverFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "backup [flags] [FILE]",
		Short: "Save everything an embedded server has, while it runs; - is standard output",
		Example: `  millrace backup millrace.tar
  millrace backup - | zstd > millrace.tar.zst`,
		Args: needArgs(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if len(args) == 1 {
				if output != "" && output != args[0] {
					return usage("give the file once: as an argument or with -o")
				}
				output = args[0]
			}
			if output == "" {
				return usage("name the file to write, or - for standard output; see --help")
			}
			var size int64
			save := func(w io.Writer) (err error) {
				size, err = server.client().Backup(ctx, w)
				return err
			}
			if output == "-" {
				return said(save(cmd.OutOrStdout()))
			}
			if err := writeFile(output, 0o600, save); err != nil {
				return said(err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %d bytes\n", output, size)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "where to write it: a file, or - for standard output")
	return cmd
}

func restoreCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "restore [flags] [FILE]",
		Short: "Put a backup into an empty data directory; without FILE, or with -, from standard input",
		Example: `  millrace restore --data-dir ./data millrace.tar
  millrace serve --data-dir ./data`,
		Args: needArgs(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return restore(ctx, dir, args, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "the directory to restore into: empty, or not there yet (default MILLRACE_DATA_DIR, else ./data)")
	return cmd
}

func restore(ctx context.Context, dir string, args []string, in io.Reader, out io.Writer) error {
	dir = cmp.Or(dir, os.Getenv("MILLRACE_DATA_DIR"), "./data")
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return usage("%v", err)
		}
		defer f.Close()
		in = f
	}
	sum, err := boot.Restore(ctx, dir, in)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was restored")
		}
		return err
	}
	if _, err := fmt.Fprintf(out, "%s  %d blobs, %d bytes\n", dir, sum.Blobs, sum.Bytes); err != nil {
		return err
	}
	if len(sum.Missing) > 0 {
		return fmt.Errorf("restored, but the server had lost the bytes of %d blobs before the backup, such as %s", len(sum.Missing), sum.Missing[0])
	}
	return nil
}
