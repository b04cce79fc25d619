package boot_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/cmd/internal/boot"
)

const root = "../../.."

func page(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// section is the part of the page under a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page(t), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("the page has no heading %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// TestEveryFlagIsDocumented compares the page's table with the flags of all roles: names, variables, roles and defaults, both ways.
func TestEveryFlagIsDocumented(t *testing.T) {
	t.Parallel()
	var want []string
	for _, role := range []boot.Role{boot.Serve, boot.API, boot.Workers, boot.Scheduler} {
		boot.Command(role).Flags().VisitAll(func(f *pflag.Flag) {
			standard := strings.Trim(f.DefValue, "[]")
			if standard == "" {
				standard = "none"
			}
			want = append(want, fmt.Sprintf("--%s %s %s %s", f.Name, boot.Variable(f.Name), role, standard))
		})
	}
	var got []string
	for line := range strings.Lines(section(t, "Flags")) {
		cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
		if len(cells) < 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "--") || strings.Contains(cells[1], "---") {
			continue
		}
		if strings.TrimSpace(cells[5]) == "" {
			t.Errorf("no meaning in %q", line)
		}
		for role := range strings.SplitSeq(cells[3], ",") {
			got = append(got, fmt.Sprintf("%s %s %s %s", strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(role), strings.TrimSpace(cells[4])))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags in the code (-) and in docs/configuration.md (+) differ:\n%s", diff)
	}
}

var isVariable = regexp.MustCompile(`^(MILLRACE_[A-Z_]+[A-Z]|[A-Z]+_URL(_FILE)?)$`)

// TestEveryVariableIsDocumented compares the variables that the program reads with those that the page names, both ways.
func TestEveryVariableIsDocumented(t *testing.T) {
	t.Parallel()
	read := make(map[string]bool)
	for _, name := range boot.EnvironmentOnly() {
		read[name] = true
	}
	for _, role := range []boot.Role{boot.Serve, boot.API, boot.Workers, boot.Scheduler} {
		boot.Command(role).Flags().VisitAll(func(f *pflag.Flag) { read[boot.Variable(f.Name)] = true })
	}
	for name := range literals(t) {
		// What a supervisor tells its children is no setting, nor is what only builds for fault runs read.
		if isVariable.MatchString(name) && !strings.HasPrefix(name, "MILLRACE_CHILD") && name != "MILLRACE_FAULTS" {
			read[name] = true
		}
	}
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`([A-Z_]+)").FindAllStringSubmatch(page(t), -1) {
		if isVariable.MatchString(m[1]) {
			named[m[1]] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(named))); diff != "" {
		t.Errorf("variables in the code (-) and in docs/configuration.md (+) differ:\n%s", diff)
	}
}

// literals are all strings in the programs' code, outside of tests and of the help text in them.
func literals(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, dir := range []string{"cmd", "internal", "store", "handlers", "tasks", "client", "web"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testenv") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						found[text] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !found["MILLRACE_ADMIN_KEY"] {
		t.Fatal("the search for strings finds nothing")
	}
	return found
}
