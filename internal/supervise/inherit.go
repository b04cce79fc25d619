package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The protocol between supervisor and child: one variable that names the inherited descriptors, and lines on the report pipe.
const (
	inheritVariable = "SUPERVISE_INHERIT"
	reportName      = "report"
	lifelineName    = "lifeline"
	filePrefix      = "file:"
	readyLine       = "ready"
	wantPrefix      = "want " // and the name of a child that is started on demand
	firstExtraFile  = 3       // exec.Cmd.ExtraFiles begin after stdin, stdout and stderr
)

// ErrOrphaned is the cause of a context that ended because the supervisor is gone.
var ErrOrphaned = errors.New("the supervisor is gone")

// Inherited is what a supervisor handed to this process. The zero value belongs to a process that has none.
//
// Descriptors that nobody asks for stay open until the process ends; that is how a child holds the lock of a data directory.
type Inherited struct {
	report, lifeline int // 0: not handed
	files            map[string]int

	mu     sync.Mutex // guards what follows
	pipe   *os.File   // the report pipe, once something was written to it
	spoken bool       // Ready was called
}

// Inherit takes over what the supervisor handed to this process, which is nothing when it was started by hand. Call it once, first thing in main:
// it takes the variable out of the environment, so that it does not reach grandchildren, and neither do the descriptors.
func Inherit() (*Inherited, error) {
	list, ok := os.LookupEnv(inheritVariable)
	if !ok {
		return &Inherited{}, nil
	}
	if err := os.Unsetenv(inheritVariable); err != nil {
		return nil, err
	}
	in, err := parseInherited(list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", inheritVariable, err)
	}
	for _, fd := range in.all() {
		if err := keepFromChildren(fd); err != nil {
			return nil, fmt.Errorf("%s: descriptor %d: %w", inheritVariable, fd, err)
		}
	}
	return in, nil
}

func parseInherited(list string) (*Inherited, error) {
	in := &Inherited{files: make(map[string]int)}
	for entry := range strings.SplitSeq(list, ",") {
		// From the right: a name may hold an equals sign, a number does not.
		i := strings.LastIndexByte(entry, '=')
		if i < 0 {
			return nil, fmt.Errorf("%q has no number", entry)
		}
		name := entry[:i]
		fd, err := strconv.Atoi(entry[i+1:])
		if err != nil || fd < firstExtraFile {
			return nil, fmt.Errorf("%q is not a descriptor", entry)
		}
		file, isFile := strings.CutPrefix(name, filePrefix)
		switch {
		case name == reportName:
			in.report = fd
		case name == lifelineName:
			in.lifeline = fd
		case isFile:
			in.files[file] = fd
		default:
			return nil, fmt.Errorf("%q is not known", name)
		}
	}
	return in, nil
}

func (in *Inherited) all() []int {
	var fds []int
	for _, fd := range in.files {
		fds = append(fds, fd)
	}
	for _, fd := range []int{in.report, in.lifeline} {
		if fd != 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// Supervised reports whether there is a supervisor at all.
func (in *Inherited) Supervised() bool { return in.lifeline != 0 }

// Ready tells the supervisor that this process can take work. Without a supervisor, and from the second call on, it does nothing.
func (in *Inherited) Ready() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.spoken {
		return nil
	}
	in.spoken = true
	return in.say(readyLine)
}

// Want asks the supervisor to start the OnDemand child of that name, unless it runs. Nothing says whether it will; who still wants it asks again.
// Without a supervisor it does nothing.
func (in *Inherited) Want(child string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.say(wantPrefix + child)
}

// say writes a line for the supervisor; mu is held. A line is shorter than what a pipe takes whole.
func (in *Inherited) say(line string) error {
	if in.report == 0 {
		return nil
	}
	if in.pipe == nil {
		in.pipe = os.NewFile(uintptr(in.report), reportName)
	}
	if _, err := in.pipe.WriteString(line + "\n"); err != nil {
		return fmt.Errorf("report %s: %w", line, err)
	}
	return nil
}

// Listener returns the listening socket that was handed over under name. It can be taken once. Closing it ends this process's accepting only:
// the supervisor keeps the socket open, and new connections wait in its backlog for the next process.
func (in *Inherited) Listener(name string) (net.Listener, error) {
	fd, ok := in.files[name]
	if !ok {
		return nil, fmt.Errorf("no listener %q was handed over", name)
	}
	delete(in.files, name)
	// Before the file exists: a blocking listener would sit in accept and its Close would wait for ever.
	if err := setNonblock(fd); err != nil {
		return nil, fmt.Errorf("listener %q: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", name, err)
	}
	return l, nil
}

// File returns the end of a pipe that was handed over under name. It can be taken once.
func (in *Inherited) File(name string) (*os.File, error) {
	fd, ok := in.files[name]
	if !ok {
		return nil, fmt.Errorf("no file %q was handed over", name)
	}
	delete(in.files, name)
	if err := setNonblock(fd); err != nil { // so that a read can be ended
		return nil, fmt.Errorf("file %q: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Lifeline returns a context that ends with the cause ErrOrphaned when the supervisor is gone; without a supervisor it is ctx with a cancel.
//
// An orphan should put down its work and end. Since it may hold a lock that the next supervisor waits for, it is ended after patience if it has not.
// On Linux the kernel is quicker: the children of a supervisor that died are killed at once.
func (in *Inherited) Lifeline(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if in.lifeline == 0 {
		return ctx, func() { cancel(nil) }
	}
	fd := in.lifeline
	if err := setNonblock(fd); err != nil {
		cancel(fmt.Errorf("lifeline: %w", err))
		return ctx, func() {}
	}
	pipe := os.NewFile(uintptr(fd), lifelineName)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var one [1]byte
		// Nobody ever writes; the read returns when the other end is closed, or ours is.
		if _, err := pipe.Read(one[:]); errors.Is(err, os.ErrClosed) {
			return
		}
		cancel(ErrOrphaned)
		time.AfterFunc(patience, func() { os.Exit(1) })
	}()
	return ctx, func() {
		cancel(nil)
		pipe.Close()
		<-ended
	}
}
