// Command millrace is what people type: serve runs everything on one machine, the rest speaks to a server over its REST API.
package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

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

const defaultServer = "http://127.0.0.1:8080"

// clientHelp is what --help says besides the flags.
const clientHelp = `
Environment:
  MILLRACE_SERVER  the server's URL
  MILLRACE_KEY     the key or token to show it, where it asks for one

Exit codes:
  0 done   1 the job failed, or the server refused or was not there   2 used wrongly
`

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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return boot.FlagError(err) })
	root.SetVersionTemplate("millrace {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	var server serverFlags
	serve := boot.Command(boot.Serve)
	submit, job, backup := submitCommand(&server), jobCommand(&server), backupCommand(&server)
	for _, cmd := range []*cobra.Command{submit, job, backup} {
		cmd.Flags().StringVar(&server.url, "server", "", "the server's URL (default MILLRACE_SERVER, else "+defaultServer+")")
		cmd.SetUsageTemplate(cmd.UsageTemplate() + clientHelp)
	}
	root.AddCommand(serve, submit, job, backup, restoreCommand())
	return root
}

// helpCommand is cobra's own, but for a command that does not exist.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "Help about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 || about == nil {
				return usage("unknown command %q; see millrace --help", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}

// serverFlags say which server a command speaks to. The key comes from the environment alone, where other users of the machine do not see it.
type serverFlags struct{ url string }

func (s *serverFlags) client() *client.Client {
	return &client.Client{URL: cmp.Or(s.url, os.Getenv("MILLRACE_SERVER"), defaultServer), Key: os.Getenv("MILLRACE_KEY")}
}
