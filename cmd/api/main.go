// Command api answers the REST API on Redis and PostgreSQL. It is thin: it checks, writes and reads, and does no heavy work itself.
package main

import (
	"os"

	"github.com/millrace/millrace/cmd/internal/boot"
)

func main() { os.Exit(boot.Main(boot.API, os.Args[1:])) }
