// Command millrace is what people type: serve runs everything on one machine, the rest speaks to a server over its REST API.
package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/cmd/internal/boot"
)

func main() {
	switch role := boot.Role(filepath.Base(os.Args[0])); role {
	case boot.API, boot.Workers, boot.Scheduler:
		// make build links these names to this one program: a quarter of the disk, and processes of all roles share its memory.
		os.Exit(boot.Main(role, os.Args[1:]))
	}
	os.Exit(boot.Execute(command()))
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "millrace", Short: "Submit heavy work over REST, watch it, fetch the results", Version: boot.Version(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q; see millrace --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v; see --help", err) })
	var server serverFlags
	serve := boot.Command(boot.Serve)
	submit, job := submitCommand(&server), jobCommand(&server)
	for _, cmd := range []*cobra.Command{submit, job} {
		cmd.Flags().StringVar(&server.url, "server", "", "the server's URL; MILLRACE_SERVER, else http://127.0.0.1:8080")
	}
	root.AddCommand(serve, submit, job)
	return root
}

// serverFlags say which server a command speaks to. The key comes from the environment alone, where other users of the machine do not see it.
type serverFlags struct{ url string }

func (s *serverFlags) client() *client.Client {
	return &client.Client{URL: cmp.Or(s.url, os.Getenv("MILLRACE_SERVER"), "http://127.0.0.1:8080"), Key: os.Getenv("MILLRACE_KEY")}
}
