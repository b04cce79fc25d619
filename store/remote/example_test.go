package remote_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/remote"
	"github.com/millrace/millrace/store/sqlite"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "millrace")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ledger, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "ledger.db")})
	if err != nil {
		panic(err)
	}
	ln, err := remote.Listen(filepath.Join(dir, "s"))
	if err != nil {
		panic(err)
	}
	gone, served := make(chan string, 1), make(chan error)
	go func() {
		served <- remote.Serve(ctx, ln, ledger, remote.Hooks{Gone: func(worker string) { gone <- worker }})
	}()

	// In another process:
	client := remote.Dial(remote.Config{Path: filepath.Join(dir, "s")})
	if err := client.Register(ctx, millrace.Worker{ID: "a worker"}); err != nil {
		panic(err)
	}
	reply, err := client.Beat(ctx, store.Beat{Worker: "a worker"})
	fmt.Println(len(reply.Lost), err)
	_ = client.Close() // without Leave: as if it had died

	fmt.Println(<-gone, "is gone")
	stop()
	fmt.Println(<-served, ledger.Close())
	// Output:
	// 0 <nil>
	// a worker is gone
	// <nil> <nil>
}
