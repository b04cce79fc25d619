// Command samplegen makes the sample files that the page offers. Everything is computed from fixed seeds, so the files can be made again
// byte for byte and nothing in them belongs to anybody.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: samplegen DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "samplegen:", err)
		os.Exit(1)
	}
}

// write makes every sample in dir.
func write(dir string) error {
	picture, err := mountains(1200, 800)
	if err != nil {
		return fmt.Errorf("draw mountains: %w", err)
	}
	table, err := orders(600)
	if err != nil {
		return fmt.Errorf("write orders: %w", err)
	}
	for name, body := range map[string][]byte{"mountains.jpg": picture, "orders.csv": table, "server.log": serverLog(2000)} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			return fmt.Errorf("write sample: %w", err)
		}
	}
	return nil
}
