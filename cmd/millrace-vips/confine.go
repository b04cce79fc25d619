//go:build vips

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// confine makes this process the first that the kernel ends where memory is short, and keeps it from writing a core of strangers' pictures. It ends
// with its worker, not before it: what a terminal sends to all processes in front of it is for the worker.
func confine() error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// Raising one's own score needs no right. Where there is no such file, nothing is lost.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("800"), 0)
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}

// Stacks and arenas of threads take address space and no memory: so much is free of charge.
const freeSpace = 512 << 20

// limit bounds what the next order may take: the kernel ends the process that computes longer, and gives it no more memory.
func limit(memory int64, seconds int) error {
	if memory > 0 {
		size, _ := statm()
		if err := soft(syscall.RLIMIT_AS, uint64(size+memory+freeSpace)); err != nil {
			return fmt.Errorf("limit the memory: %w", err)
		}
	}
	if seconds > 0 {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return fmt.Errorf("read the time used: %w", err)
		}
		if err := soft(syscall.RLIMIT_CPU, uint64(used.Utime.Sec+used.Stime.Sec)+uint64(seconds)+1); err != nil {
			return fmt.Errorf("limit the time: %w", err)
		}
	}
	return nil
}

func soft(resource int, value uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil {
		return err
	}
	l.Cur = min(value, l.Max)
	return syscall.Setrlimit(resource, &l)
}

// resident is the memory that this process has.
func resident() int64 {
	_, r := statm()
	return r
}

func statm() (size, resident int64) {
	raw, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(raw)
	if err != nil || len(fields) < 2 {
		return 0, 0
	}
	page := int64(os.Getpagesize())
	size, _ = strconv.ParseInt(string(fields[0]), 10, 64)
	resident, _ = strconv.ParseInt(string(fields[1]), 10, 64)
	return size * page, resident * page
}
