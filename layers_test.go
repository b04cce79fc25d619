package millrace_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace"

// layer is a package, or all packages below it, with the packages of ours that it may import. The root package is open to all and stands nowhere.
type layer struct {
	name string
	may  string // space-separated
	why  string // said to whoever draws another arrow
}

// layers are all arrows there are: what is not drawn is forbidden, siblings included. The first row that fits a package holds.
var layers = []layer{
	{".", "", "the words of the domain stand on the standard library alone, so that anything may import them"},
	{"tasks/taskstest", "tasks", "a test host for handlers knows what a task is and nothing of the product"},
	{"tasks", "", "REST, the command line and Go clients share the declarations: they must cost no engine and no store"},
	{"handlers", "tasks internal/csvstat", "a handler is a function over streams; engines that need more come as its own interfaces, from boot"},
	{"client", "tasks", "a client speaks the REST contract and links nothing of the server"},
	{"web", "", "the page's own files, served by the standard library"},

	{"store/blob/blobtest", "store/blob", "a suite knows the contract, not the stores that it is run on"},
	{"store/blob/disk", "store/blob internal/fault", "a blob store adapts one technology and knows no sibling"},
	{"store/blob", "", "the contract of the bytes"},
	{"store/storetest", "store store/blob", "a suite knows the contract, not the databases that it is run on"},
	{"store/sqlite", "store internal/batch internal/mutant", "a database adapts one technology and knows no sibling"},
	{"store/postgres", "store internal/batch", "a database adapts one technology and knows no sibling"},
	{"store/remote", "store internal/batch", "the socket carries the workers' part of the contract, whatever stands behind it"},
	{"store", "", "the contract of the ledger"},

	{"internal/strict", "", "decodes JSON from strangers, whatever it is about"},
	{"internal/jobspec", "internal/dispatch internal/strict", "reads a job from JSON, for requests and for schedules, and writes nothing"},
	{"internal/rest", "internal/dispatch internal/jobspec internal/strict internal/cron internal/auth internal/media internal/notify internal/supervise/graceful tasks store store/blob",
		"REST checks, asks and answers; it holds no queue, no SQL and no work"},
	{"internal/dispatch", "internal/queue internal/batch internal/strict internal/fault tasks store", "ledger first, then queue, and nothing of HTTP"},
	{"internal/worker", "internal/queue internal/batch internal/fault internal/media internal/notify tasks store store/blob",
		"one attempt, from claim to outcome; what the work is comes from tasks"},
	{"internal/scheduler", "internal/dispatch internal/jobspec internal/cron internal/queue internal/fault store store/blob", "the leader's work is the ledger's, never a handler's"},
	{"internal/queue", "internal/batch", "asynq behind our words, and no words of the ledger"},
	{"internal/cron", "", "when something runs is arithmetic, and starts nothing"},
	{"internal/metrics", "internal/cache internal/queue store", "figures are read from what keeps them"},
	{"internal/backup", "store/blob", "a stream of the ledger's copy and the bytes; both come as functions"},
	{"internal/raster/order", "", "what raster asks of another process, in words that cost its helper nothing"},
	{"internal/raster/recode", "", "what a JPEG holds, written in another order: it knows no picture"},
	{"internal/raster", "tasks internal/raster/order internal/raster/recode", "an image engine fits the interface of its handler and knows nothing else"},
	{"internal/vips", "internal/raster/order", "keeps helper processes and passes orders on, whatever they say"},
	{"internal/supervise/graceful", "", "ends an HTTP server, whoever wrote it"},
	{"internal/supervise", "", "keeps processes alive, whatever they do"},
	{"internal/embedded", "", "a Redis in this process, for whoever dials it"},
	{"internal/mutant", "", "takes a rule out of whatever asks it; empty without its build tag"},
	{"internal/sim", "", "a doc comment: what it simulates its tests import"},
	{"internal/fault", "", "names moments of the product and knows nothing of it; empty without its build tag"},
	{"internal/testenv", "", "services for tests; it must not know what is tested"},
	{"internal/testrig", "internal/embedded internal/queue internal/dispatch store store/blob store/blob/disk store/sqlite tasks",
		"the embedded parts put together for tests"},
	{"internal", "", "a package that is not drawn above may use the root package only: draw its arrows here, with the reason"},

	{"cmd/internal/boot", "*", "the only wiring"},
	{"cmd/millrace", "client cmd/internal/boot tasks", "beyond serve the command line is a client of the REST API"},
	{"cmd/millrace-vips", "internal/raster/order", "the helper is libvips behind a pipe: it must cost a worker's memory nothing else"},
	{"cmd", "cmd/internal/boot", "a main is flags, boot and an exit code"},
	{"e2e", "", "the suite drives the built binaries from outside"},
	{"chaos", "", "the fault runs drive the built binaries from outside"},
	{"deploy", "", "the suite reads files"},
}

// owner says who alone may import a dependency, because it hides it from the rest.
type owner struct{ dependency, owners, why string }

var owners = []owner{
	{"github.com/hibiken/asynq", "internal/queue", "delivery is a hint; nobody else may rest on what asynq believes"},
	{"github.com/hibiken/asynqmon", "internal/queue", "the dashboard belongs to the queue"},
	{"github.com/alicebob/miniredis/v2", "internal/embedded", "no other code asks which mode it runs in"},
	{"github.com/labstack/echo/v4", "internal/rest cmd/internal/boot", "HTTP stays at the edge"},
	{"github.com/jackc/pgx/v5", "store/postgres internal/source internal/testenv", "SQL stays in the store"},
	{"modernc.org/sqlite", "store/sqlite", "SQL stays in the store"},
	{"github.com/redis/go-redis/v9", "internal/queue internal/cache internal/notify internal/embedded internal/metrics internal/testenv internal/testrig cmd/internal/boot",
		"the ledger is the truth, so few need Redis"},
	{"github.com/golang-jwt/jwt/v5", "internal/auth", "one place decides who somebody is"},
	{"github.com/spf13/cobra", "cmd/internal/boot cmd/millrace", "only commands have flags"},
	{"github.com/disintegration/imaging", "internal/raster", "image engines hide behind the handlers' interface"},
	{"github.com/gen2brain/jpegn", "internal/raster", "image engines hide behind the handlers' interface"},
	{"github.com/gen2brain/webp", "internal/raster", "image engines hide behind the handlers' interface"},
	{"github.com/gen2brain/avif", "internal/raster", "image engines hide behind the handlers' interface"},
	{"github.com/muesli/smartcrop", "internal/raster", "image engines hide behind the handlers' interface"},
	{"github.com/chromedp/chromedp", "", "only tests drive a browser"},
	{"github.com/Shopify/toxiproxy/v2", "", "only tests cut connections"},
	{"pgregory.net/rapid", "store/storetest", "only tests check properties, and the suites that they share"},
}

// standardOnly are packages whose users must not pay for dependencies.
var standardOnly = []string{".", "client", "web", "store", "store/blob", "internal/batch"}

// testOnly are packages that no program links.
var testOnly = []string{"tasks/taskstest", "store/storetest", "store/blob/blobtest", "internal/testenv", "internal/testrig"}

func TestLayers(t *testing.T) {
	t.Parallel()
	for pkg, imports := range packages(t) {
		for _, to := range imports {
			if fault := forbidden(pkg, to); fault != "" {
				t.Error(fault)
			}
		}
	}
}

// The test of the test: each kind of arrow that must not exist is seen.
func TestForbidden(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from, to string
		want     bool
	}{
		{"tasks", module, false},
		{"internal/rest", module + "/internal/dispatch", false},
		{"internal/rest", module + "/internal/queue", true},
		{"handlers", module + "/store", true},
		{"store/sqlite", module + "/store/postgres", true},
		{"internal/new", module + "/store", true},
		{"internal/new", "github.com/google/uuid", false},
		{"internal/queue", "github.com/hibiken/asynq", false},
		{"internal/dispatch", "github.com/hibiken/asynq/internal/rdb", true},
		{"internal/dispatch", "github.com/hibiken/asynqother", false},
		{".", "github.com/google/uuid", true},
		{".", "encoding/json", false},
		{"cmd/internal/boot", module + "/internal/worker", false},
		{"cmd/internal/boot", module + "/internal/testenv", true},
		{"cmd/api", module + "/internal/rest", true},
		{"nowhere", module + "/tasks", true},
	}
	for _, tt := range tests {
		if got := forbidden(tt.from, tt.to); (got != "") != tt.want {
			t.Errorf("forbidden(%s → %s) = %q, want forbidden %v", tt.from, tt.to, got, tt.want)
		}
	}
}

// forbidden says why a package of ours must not import another one, or "".
func forbidden(from, to string) string {
	if ours, ok := strings.CutPrefix(to+"/", module+"/"); ok {
		return forbiddenInside(from, strings.TrimSuffix(ours, "/"))
	}
	if first, _, _ := strings.Cut(to, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	if slices.Contains(standardOnly, from) {
		return fmt.Sprintf("%s imports %s: its users must get no dependencies with it", from, to)
	}
	for _, o := range owners {
		if within(to, o.dependency) && !slices.Contains(strings.Fields(o.owners), from) {
			return fmt.Sprintf("%s imports %s, which belongs to [%s]: %s", from, to, o.owners, o.why)
		}
	}
	return ""
}

func forbiddenInside(from, to string) string {
	if to == "" || within(to, from) && strings.Contains(to, "/internal/") {
		return "" // the root package; a package's own internals
	}
	if slices.Contains(testOnly, to) {
		return fmt.Sprintf("%s imports %s, which is for tests", from, to)
	}
	for _, l := range layers {
		if from != l.name && (l.name == "." || !within(from, l.name)) {
			continue
		}
		if allowed := strings.Fields(l.may); slices.Contains(allowed, to) || slices.Contains(allowed, "*") {
			return ""
		}
		return fmt.Sprintf("%s imports %s, may import [%s]: %s", from, to, l.may, l.why)
	}
	return fmt.Sprintf("%s has no place in the house: draw its arrows in layers_test.go", from)
}

// within reports whether a path is another one or lies below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// packages lists ours, by path below the module, with what each imports outside of its tests.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	seen(t)
	// -e: a package that does not compile is somebody else's failure.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string][]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if name == "" {
			name = "."
		}
		all[name] = p.Imports
	}
	if len(all) < 3 {
		t.Fatalf("go list found %d packages, want the whole module", len(all))
	}
	return all
}

// seen opens what go list will read. A result is taken from the test cache unless a file that the test itself opened has changed.
func seen(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"chaos", "client", "cmd", "deploy", "e2e", "handlers", "internal", "store", "tasks", "web"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
