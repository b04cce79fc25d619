package millrace_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmePatterns holds the table of the ten patterns to the tree: each row names a file that is there and tests that exist.
func TestReadmePatterns(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(readme), "## Ten patterns")
	if !ok {
		t.Fatal("README.md has no section on the ten patterns")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	tests := testNames(t)
	file, name := regexp.MustCompile(`\]\(([^)]+)\)`), regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| pattern") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		if strings.Contains(line, "comes with") {
			continue
		}
		files, names := file.FindAllStringSubmatch(line, -1), name.FindAllStringSubmatch(line, -1)
		if len(files) == 0 || len(names) == 0 {
			t.Errorf("row names no file or no test: %s", line)
		}
		for _, f := range files {
			if _, err := os.Stat(f[1]); err != nil {
				t.Errorf("%s is not there", f[1])
			}
		}
		for _, n := range names {
			if !tests[n[1]] {
				t.Errorf("there is no test %s", n[1])
			}
		}
	}
	if rows < 10 {
		t.Errorf("the table has %d rows, want at least ten", rows)
	}
}

// TestLinksLead checks that every relative link of the documents leads somewhere.
func TestLinksLead(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md", "CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}

// testNames are the names of all tests in the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
