package vips_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/raster/order"
	"github.com/millrace/millrace/internal/vips"
)

// TestMain lets this test binary play helpers of all characters, by the name that it is started under: their environment is empty.
func TestMain(m *testing.M) {
	if character, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "helper-"); ok {
		play(character)
		return
	}
	if path, ok := os.LookupEnv("VIPS_TEST_OWNER"); ok {
		own(path)
		return
	}
	os.Exit(m.Run())
}

// fake is the path of a helper of that character.
func fake(t *testing.T, character string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "helper-"+character)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// play is the life of a helper.
func play(character string) {
	hello := order.Hello{Protocol: order.Protocol, Name: "fake", Version: "1", Reads: []string{"jpeg"}}
	note("starts")
	switch character {
	case "mute":
		fmt.Fprintln(os.Stderr, "no library")
		os.Exit(3)
	case "stranger":
		hello.Protocol++
	case "babbler":
		fmt.Println("Usage: something else entirely, of no use to anybody")
		os.Exit(0)
	}
	_ = order.Write(os.Stdout, hello, 0)
	for {
		var o order.Order
		body, err := order.Read(os.Stdin, &o, order.MaxOutput)
		if err != nil {
			return
		}
		data, _ := io.ReadAll(io.LimitReader(os.Stdin, body))
		note("order")
		a := order.Answer{Pictures: []order.Picture{{Width: o.Width, Height: o.Height, Bands: 1, Bytes: int64(o.Width * o.Height)}}}
		size := a.Pictures[0].Bytes
		switch character {
		case "hang":
			time.Sleep(time.Hour)
		case "crash":
			fmt.Fprintln(os.Stderr, "segmentation fault, they say")
			os.Exit(139)
		case "picky":
			if strings.Contains(string(data), "poison") {
				os.Exit(139)
			}
		case "refuse":
			a = order.Answer{Error: "not my kind of picture"}
			size = 0
		case "garbage":
			_, _ = os.Stdout.WriteString(strings.Repeat("garbage ", 1000))
			continue
		case "short":
			a.Pictures[0].Width--
		case "fat":
			a.Resident = 1 << 40
		}
		_ = order.Write(os.Stdout, a, size)
		_, _ = os.Stdout.Write(make([]byte, size))
	}
}

// note adds a word with the pid to the file beside the helper's name: the only thing that a fake may touch.
func note(word string) {
	f, err := os.OpenFile(os.Args[0]+".notes", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s %d\n", word, os.Getpid())
}

// notes reads what helpers have noted.
func notes(t *testing.T, path, word string) (pids []int) {
	t.Helper()
	raw, err := os.ReadFile(path + ".notes")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var w string
		var pid int
		if n, _ := fmt.Sscan(line, &w, &pid); n == 2 && w == word {
			pids = append(pids, pid)
		}
	}
	return pids
}

// until polls with a deadline.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(5 * time.Millisecond) // a poll with a deadline
	}
}

// own is a worker process that waits for a helper which never answers.
func own(path string) {
	e := vips.New(vips.Config{Path: path, Log: quiet()})
	_, err := e.Do(background(), "", picture(), strings.NewReader("data"), 4)
	fmt.Fprintln(os.Stderr, "an answer:", err)
}
