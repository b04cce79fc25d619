package deploy_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"
)

// compose is what docker-compose.yml may hold; a key that is not here is taken for a slip.
type compose struct {
	Name        string
	Services    map[string]service
	Volumes     map[string]any
	Millrace    any `yaml:"x-millrace"`
	Environment any `yaml:"x-environment"`
	API         any `yaml:"x-api"`
	Worker      any `yaml:"x-worker"`
}

type service struct {
	Image       string
	Build       string
	Restart     string
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Tmpfs       []string
	DependsOn   dependencies `yaml:"depends_on"`
	ReadOnly    bool         `yaml:"read_only"`
	CapDrop     []string     `yaml:"cap_drop"`
	SecurityOpt []string     `yaml:"security_opt"`
	StopGrace   string       `yaml:"stop_grace_period"`
	Healthcheck *struct {
		Test     []string
		Interval string
	}
}

// dependencies are names with the condition to wait for, which the short form leaves out.
type dependencies map[string]string

func (d *dependencies) UnmarshalYAML(node *yaml.Node) error {
	*d = make(dependencies)
	var names []string
	if node.Decode(&names) == nil {
		for _, n := range names {
			(*d)[n] = "service_started"
		}
		return nil
	}
	var long map[string]struct{ Condition string }
	if err := node.Decode(&long); err != nil {
		return err
	}
	for n, c := range long {
		(*d)[n] = c.Condition
	}
	return nil
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	dec := yaml.NewDecoder(bytes.NewReader(read(t, "../docker-compose.yml")))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return c
}

// ours are the services that run our image.
func (c compose) ours() map[string]service {
	found := make(map[string]service)
	for name, s := range c.Services {
		if s.Image == "millrace" {
			found[name] = s
		}
	}
	return found
}

func TestComposeIsWhole(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	roles := make(map[string]int)
	for name, s := range c.ours() {
		roles[s.Command[0]]++
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s may write to its image or keeps capabilities", name)
		}
		if s.Restart != "unless-stopped" || s.StopGrace != "40s" || !slices.Contains(s.Volumes, "blobs:/blobs") {
			t.Errorf("%s = %+v: not restarted, too little time to drain, or without the shared blobs", name, s)
		}
	}
	if fmt.Sprint(roles) != "map[api:2 scheduler:1 worker:2]" {
		t.Errorf("roles = %v, want two apis, two workers, one scheduler", roles)
	}
	builds := 0
	for name, s := range c.Services {
		if s.Build != "" {
			builds++
		}
		for on, condition := range s.DependsOn {
			other, ok := c.Services[on]
			if !ok || condition == "service_healthy" && other.Healthcheck == nil {
				t.Errorf("%s waits for %s (%s), which is not there or never healthy", name, on, condition)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			_, named := c.Volumes[volume]
			_, err := os.Stat(filepath.Join("..", volume))
			if !named && (err != nil || !strings.HasPrefix(volume, "./")) {
				t.Errorf("%s mounts %s, which is neither a volume nor a file here", name, volume)
			}
		}
		for _, p := range s.Ports {
			if name != "nginx" || !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s; only nginx may, on loopback", name, p)
			}
		}
	}
	if builds != 1 {
		t.Errorf("%d services build the image, want 1: it is one image", builds)
	}
}

// A variable that a role does not know would be ignored without a word.
func TestComposeEnvironmentIsKnown(t *testing.T) {
	t.Parallel()
	literal := quotedVariables(t)
	for name, s := range readCompose(t).ours() {
		role := s.Command[0]
		known := flagVariables(t, role)
		for variable := range s.Environment {
			if !slices.Contains(known, variable) && !slices.Contains(literal, variable) {
				t.Errorf("%s sets %s, which %s does not know", name, variable, role)
			}
		}
		if len(s.Command) != 1 {
			t.Errorf("%s has the command %q, want settings in the environment", name, s.Command)
		}
	}
}

// Without a key the file must not come up at all: every role that listens would end with exit code 2.
func TestComposeDemandsAKey(t *testing.T) {
	t.Parallel()
	for name, s := range readCompose(t).ours() {
		if v := s.Environment["MILLRACE_ADMIN_KEY"]; !strings.HasPrefix(v, "${MILLRACE_ADMIN_KEY:?") {
			t.Errorf("%s has MILLRACE_ADMIN_KEY=%q, want it to be demanded", name, v)
		}
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := string(read(t, "../Dockerfile"))
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(read(t, "../go.mod")))
	if version == nil || !strings.Contains(text, "FROM golang:"+version[1]+"-") {
		t.Errorf("the image does not build with the Go %q of go.mod", version)
	}
	command := regexp.MustCompile(`(?m)^CMD \["(\w+)", "(\w+)"`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("no CMD with a command and a subcommand")
	}
	if out, err := exec.Command(binary(t, command[1]), command[2], "--help").CombinedOutput(); err != nil {
		t.Errorf("%s %s --help: %v\n%s", command[1], command[2], err, out)
	}
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", "scripts/build"} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile lacks %q", strings.TrimSpace(want))
		}
	}
}

// flagVariables are the variables of the flags that a role says it has.
func flagVariables(t *testing.T, role string) []string {
	t.Helper()
	help, err := exec.Command(binary(t, role), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%s --help: %v\n%s", role, err, help)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-z-]+)`).FindAllSubmatch(help, -1) {
		names = append(names, "MILLRACE_"+strings.ToUpper(strings.ReplaceAll(string(m[1]), "-", "_")))
	}
	if len(names) < 3 {
		t.Fatalf("%s --help shows the flags %q, want a few", role, names)
	}
	return names
}

// quotedVariables are those that the configuration reads by name, such as REDIS_URL.
func quotedVariables(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../cmd/internal/boot/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources of boot: %v", err)
	}
	var names []string
	for _, f := range files {
		for _, m := range regexp.MustCompile(`"([A-Z]+_[A-Z_]+)"`).FindAllSubmatch(read(t, f), -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// binary is one of ours, from MILLRACE_BIN or built now.
func binary(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("MILLRACE_BIN")
	if dir == "" {
		var err error
		if dir, err = build(); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, name)
}

// build makes the binaries once for all tests; TestMain removes them.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "millrace-deploy-")
	if err != nil {
		return "", err
	}
	built.Store(&dir)
	cmd := exec.Command("go", "build", "-tags", "nodynamic", "-o", dir, "../cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	return dir, nil
})

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
