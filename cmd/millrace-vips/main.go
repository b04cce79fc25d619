// Command millrace-vips resizes pictures with libvips for a worker of Millrace: orders come on standard input, pictures go to standard output.
//
// It is a process of its own so that a fault in C costs one picture's time and nothing else, and so that a picture that takes too long can be
// killed. It opens no file but the one that an order names, holds no secret, and is nothing for people to start. It needs libvips, so it is
// built with the tag vips, as scripts/build does where libvips is found; without the tag it only says what it is.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "millrace-vips:", err)
		os.Exit(2)
	}
}
