package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// TestEveryFlagIsDocumented compares the flags of the client's commands with docs/configuration.md, both ways.
func TestEveryFlagIsDocumented(t *testing.T) {
	t.Parallel()
	var want []string
	for _, cmd := range command().Commands() {
		if cmd.Name() != "submit" && cmd.Name() != "job" {
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { want = append(want, "--"+f.Name+" "+cmd.Name()) })
	}
	raw, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n## The command line\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var got []string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
		if len(cells) < 4 || !strings.HasPrefix(cells[1], " --") || strings.Contains(cells[1], "---") {
			continue
		}
		for name := range strings.SplitSeq(cells[2], ",") {
			got = append(got, strings.TrimSpace(cells[1])+" "+strings.TrimSpace(name))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("flags of the command line in the code (-) and in docs/configuration.md (+) differ:\n%s", diff)
	}
}
