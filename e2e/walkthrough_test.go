package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// documentedURL is what the documents call the server.
const documentedURL = "http://127.0.0.1:8080"

// block is one fenced block of commands in a document, and what the document says that it answers.
type block struct {
	line     int
	commands string
	json     string // a part of the last JSON document that it prints
	text     string // lines that it prints
}

// TestWalkthrough runs what the documents tell people to type: the marked blocks of README.md and all of docs/api.md and docs/cookbook.md.
func TestWalkthrough(t *testing.T) {
	for _, doc := range []struct {
		path   string
		marked bool // only blocks after a comment <!-- walkthrough -->
	}{{"README.md", true}, {"docs/api.md", false}, {"docs/cookbook.md", false}} {
		t.Run(filepath.Base(doc.path), func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("..", doc.path))
			if err != nil {
				t.Fatal(err)
			}
			blocks := blocksOf(string(raw), doc.marked)
			if len(blocks) == 0 {
				t.Fatalf("%s has no commands to run", doc.path)
			}
			runBlocks(t, start(t, "embedded"), doc.path, blocks)
		})
	}
}

// blocksOf finds the blocks of commands in a document.
func blocksOf(doc string, marked bool) []block {
	var blocks []block
	var fence string // the language of the block that the line is in
	var body []string
	mark := false
	for i, line := range strings.Split(doc, "\n") {
		language, opens := strings.CutPrefix(line, "```")
		switch {
		case fence == "" && opens:
			fence, body = language+" ", nil
		case fence != "" && line == "```":
			blocks, mark = closeBlock(blocks, strings.TrimSpace(fence), strings.Join(body, "\n"), i-len(body)+1, mark || !marked), false
			fence = ""
		case fence != "":
			body = append(body, line)
		case strings.TrimSpace(line) == "<!-- walkthrough -->":
			mark = true
		}
	}
	return blocks
}

// closeBlock adds a block of commands, or to the one before what it answers.
func closeBlock(blocks []block, language, body string, line int, wanted bool) []block {
	last := len(blocks) - 1
	switch {
	case language == "sh" && wanted:
		return append(blocks, block{line: line, commands: body})
	case language == "json" && last >= 0 && blocks[last].json == "":
		blocks[last].json = body
	case language == "text" && last >= 0 && blocks[last].text == "":
		blocks[last].text = body
	}
	return blocks
}

// fails says whether a block shows a refusal.
func (b block) fails() bool {
	var problem struct{ Status json.RawMessage }
	return json.Unmarshal([]byte(b.json), &problem) == nil && len(problem.Status) > 0 && problem.Status[0] == '4'
}

// runBlocks gives all blocks to one shell, as somebody would who types them into one terminal, with a mark between them.
func runBlocks(t *testing.T, s *server, path string, blocks []block) {
	t.Helper()
	const mark = "==== block "
	var script strings.Builder
	for i, b := range blocks {
		home := "strict" // a refusal is an error of curl there
		if b.fails() {
			home = "loose"
		}
		fmt.Fprintf(&script, "CURL_HOME=$PWD/%s\nprintf '\\n%s%d\\n'\n%s\n", home, mark, i, strings.ReplaceAll(b.commands, documentedURL, s.url))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-e", "-u")
	shell.Dir = workshop(t)
	shell.Env = append(cleanEnv(), "MILLRACE_SERVER="+s.url, "CURL_HOME=")
	shell.Stdin = strings.NewReader(script.String())
	var out, errs bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &errs
	err := shell.Run()
	answers := strings.Split(out.String(), "\n"+mark)[1:]
	if err != nil || errs.Len() > 0 || len(answers) != len(blocks) {
		at := blocks[max(0, min(len(answers), len(blocks))-1)]
		t.Fatalf("%s:%d: %v: %s\n%s\nanswers %.600s", path, at.line, err, errs.String(), at.commands, answers[len(answers)-1])
	}
	for i, b := range blocks {
		_, answer, _ := strings.Cut(answers[i], "\n")
		checkAnswer(t, fmt.Sprintf("%s:%d", path, b.line), b, answer)
	}
}

// workshop is a directory that looks like the repository's root to the commands, and can be thrown away.
func workshop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"web": filepath.Join(root, "web"), "bin": binaries} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for home, settings := range map[string]string{"strict": "fail-with-body\n", "loose": "\n"} {
		if err := os.Mkdir(filepath.Join(dir, home), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, home, ".curlrc"), []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func checkAnswer(t *testing.T, where string, b block, answer string) {
	t.Helper()
	if b.text != "" && !strings.Contains(strings.TrimSpace(answer), strings.TrimSpace(b.text)) {
		t.Errorf("%s prints\n%.600s\nwant\n%s", where, answer, b.text)
	}
	if b.json == "" {
		return
	}
	var want, got any
	if err := json.Unmarshal([]byte(b.json), &want); err != nil {
		t.Errorf("%s: what it should answer is no JSON: %v", where, err)
		return
	}
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Errorf("%s prints no JSON: %v: %.600s", where, err, answer)
		return
	}
	if difference := within(want, got, ""); difference != "" {
		t.Errorf("%s: %s\nin %.1200s", where, difference, answer)
	}
}

// within says where want is not a part of got: objects may have more members, and a list more items at its end unless want's is empty.
func within(want, got any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s = %v, want an object", at, got)
		}
		for name, value := range want {
			if difference := within(value, object[name], at+"/"+name); difference != "" {
				return difference
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) < len(want) || len(want) == 0 && len(list) > 0 {
			return fmt.Sprintf("%s = %v, want %v", at, got, want)
		}
		for i, value := range want {
			if difference := within(value, list[i], fmt.Sprintf("%s/%d", at, i)); difference != "" {
				return difference
			}
		}
		return ""
	}
	if want != got {
		return fmt.Sprintf("%s = %v, want %v", at, got, want)
	}
	return ""
}
