package disk_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/millrace/millrace/store/blob/disk"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "blobs-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	blobs, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := blobs.Create(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Abort() // does nothing after Commit
	fmt.Fprint(w, "grist")
	key, err := w.Commit(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := blobs.Open(ctx, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	fmt.Println(string(text), err)
	// Output: grist <nil>
}
