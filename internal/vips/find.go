package vips

import (
	"os"
	"os/exec"
	"path/filepath"
)

// program is what the helper is called.
const program = "millrace-vips"

// Find looks for the helper: where named says, beside this very program, on the PATH. It answers "" where there is none.
func Find(named string) string {
	if named != "" {
		return named
	}
	if self, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(self); err == nil {
			self = resolved
		}
		if beside := filepath.Join(filepath.Dir(self), program); executable(beside) {
			return beside
		}
	}
	if found, err := exec.LookPath(program); err == nil {
		if absolute, err := filepath.Abs(found); err == nil {
			return absolute
		}
	}
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
