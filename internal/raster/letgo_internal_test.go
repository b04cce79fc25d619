package raster

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/tasks"
)

func TestLetGo(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stopped by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		<-begun
		cancel(errStop)
	}()
	_, err := letGo(ctx, func() (tasks.ResizeResult, error) {
		defer close(ended)
		close(begun)
		<-goOn // deaf to its context, as decoders are
		return tasks.ResizeResult{}, nil
	})
	if !errors.Is(err, errStop) {
		t.Errorf("letGo = %v, want the context's cause while the work goes on", err)
	}
	select {
	case <-ended:
		t.Error("the work has ended")
	default:
	}
	close(goOn)
	<-ended
}

func TestLetGoWaits(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("the picture's own")
	for name, work := range map[string]func() (tasks.ResizeResult, error){
		"result": func() (tasks.ResizeResult, error) { return tasks.ResizeResult{Engine: Name}, nil },
		"error":  func() (tasks.ResizeResult, error) { return tasks.ResizeResult{}, errOwn },
		"panic":  func() (tasks.ResizeResult, error) { panic("boom") },
	} {
		r, err := letGo(t.Context(), work)
		switch {
		case name == "result" && (err != nil || r.Engine != Name), name == "error" && !errors.Is(err, errOwn),
			name == "panic" && (err == nil || !strings.Contains(err.Error(), "boom")):
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
