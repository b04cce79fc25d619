// Command scheduler keeps the promises of a Millrace on Redis and PostgreSQL: rescue, refill, expiry. Any number may stand by.
package main

import (
	"os"

	"github.com/millrace/millrace/cmd/internal/boot"
)

func main() { os.Exit(boot.Main(boot.Scheduler, os.Args[1:])) }
