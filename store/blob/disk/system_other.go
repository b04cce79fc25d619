//go:build !linux && !darwin

package disk

import "os"

// syncDir has no counterpart here: these systems are for clients, which keep no blobs.
func syncDir(string) error { return nil }

// free is not known here.
func free(string) (int64, error) { return -1, nil }

// hold and abandoned: files are told by their age alone.
func hold(*os.File) {}

func abandoned(string) bool { return false }
