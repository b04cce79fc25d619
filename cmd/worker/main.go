// Command worker runs one worker process per core on Redis and PostgreSQL, restarts those that die, and drains them on SIGTERM.
package main

import (
	"os"

	"github.com/millrace/millrace/cmd/internal/boot"
)

func main() { os.Exit(boot.Main(boot.Workers, os.Args[1:])) }
