//go:build !linux

package vips

import "os/exec"

// tieToParent does nothing here: a helper ends when its pipe does.
func tieToParent(*exec.Cmd) {}
