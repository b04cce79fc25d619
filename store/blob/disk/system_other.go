//go:build !linux && !darwin

package disk

// syncDir has no counterpart here: these systems are for clients, which keep no blobs.
func syncDir(string) error { return nil }

// free is not known here.
func free(string) (int64, error) { return -1, nil }
