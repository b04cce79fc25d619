package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var typeName = regexp.MustCompile(`^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$`)

// TestConformance holds every task type of the product to what the rest of it relies on, before its author has written a test.
func TestConformance(t *testing.T) {
	t.Parallel()
	list, err := product()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range list.All() {
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			t.Run("declaration", func(t *testing.T) { checkDeclaration(t, typ) })
			t.Run("schema", func(t *testing.T) { checkSchema(t, typ) })
			t.Run("golden", func(t *testing.T) { checkGolden(t, typ.Name+".schema.golden", typ.Schema) })
			t.Run("defaults", func(t *testing.T) { checkDefaults(t, typ) })
			t.Run("unknown field", func(t *testing.T) { checkUnknownField(t, typ) })
			t.Run("examples", func(t *testing.T) { checkExamples(t, typ) })
			t.Run("canceled before", func(t *testing.T) { checkCanceledBefore(t, typ) })
			t.Run("canceled within", func(t *testing.T) { checkCanceledWithin(t, typ) })
		})
	}
}

func checkDeclaration(t *testing.T, typ tasks.Type) {
	if !typeName.MatchString(typ.Name) {
		t.Errorf("name %q does not match %s", typ.Name, typeName)
	}
	if typ.Title == "" || typ.Description == "" || !strings.HasSuffix(typ.Description, ".") {
		t.Errorf("title %q and description %q must be there, the latter in whole sentences", typ.Title, typ.Description)
	}
	if typ.Pool != millrace.CPU && typ.Pool != millrace.IO {
		t.Errorf("pool = %q", typ.Pool)
	}
	if typ.Pure && typ.Version == "" {
		t.Error("a pure type needs a version: its results are cached")
	}
	if typ.MinInputs < 1 || typ.MaxInputs < typ.MinInputs {
		t.Errorf("inputs %d to %d", typ.MinInputs, typ.MaxInputs)
	}
	if len(typ.Examples) == 0 {
		t.Error("no example")
	}
}

// checkSchema compiles the schema on its own and looks at what a form and a reader need of it.
func checkSchema(t *testing.T, typ tasks.Type) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(typ.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("test:///schema", doc); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compile("test:///schema"); err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Dialect    string `json:"$schema"`
		Type       string `json:"type"`
		Additional any    `json:"additionalProperties"`
		Properties map[string]struct {
			Description string `json:"description"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(typ.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Dialect != "https://json-schema.org/draft/2020-12/schema" || schema.Type != "object" || schema.Additional != false {
		t.Errorf("$schema = %q, type = %q, additionalProperties = %v", schema.Dialect, schema.Type, schema.Additional)
	}
	for name, property := range schema.Properties {
		if property.Description == "" {
			t.Errorf("parameter %s has no description", name)
		}
	}
}

// checkGolden makes every change of the public contract visible in a diff.
func checkGolden(t *testing.T, name string, got json.RawMessage) {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./handlers -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// checkDefaults: absent params are either complete by their defaults, or refused because a field is required; the defaults pass either way.
func checkDefaults(t *testing.T, typ tasks.Type) {
	got, err := typ.Decode(nil)
	if err != nil {
		e, ok := errors.AsType[*millrace.Error](err)
		if !ok || e.Kind != millrace.Invalid || len(e.Fields) == 0 {
			t.Errorf("Decode(nil): %v, want canonical params or pointers to what is missing", err)
		}
		return
	}
	again, err := typ.Decode(got)
	if err != nil || !bytes.Equal(got, again) {
		t.Errorf("Decode(%s) = %s, %v, want the same", got, again, err)
	}
}

func checkUnknownField(t *testing.T, typ tasks.Type) {
	params := map[string]any{}
	if err := json.Unmarshal(exampleParams(t, typ, 0), &params); err != nil {
		t.Fatal(err)
	}
	params["no/such"] = 1
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	_, err = typ.Decode(raw)
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || e.Kind != millrace.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != "/params/no~1such" {
		t.Errorf("Decode with an unknown field: %v, want one pointer to it", err)
	}
}

func exampleParams(t *testing.T, typ tasks.Type, i int) json.RawMessage {
	t.Helper()
	var example struct {
		Title  string          `json:"title"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(typ.Examples[i], &example); err != nil {
		t.Fatal(err)
	}
	if example.Title == "" {
		t.Errorf("example %d has no title", i)
	}
	return example.Params
}

// checkExamples sends each example as a reader would. Some sample must suit it, and a pure type must do the same twice.
func checkExamples(t *testing.T, typ tasks.Type) {
	for i := range typ.Examples {
		params, err := typ.Decode(exampleParams(t, typ, i))
		if err != nil {
			t.Errorf("example %d: %v", i, err)
			continue
		}
		first, sample, err := attemptOnAny(t, typ, params)
		if err != nil {
			t.Errorf("example %d fails on every sample: %v", i, err)
			continue
		}
		if len(first.progress) == 0 {
			t.Errorf("example %d on %s reports no progress", i, sample.Name)
		}
		second, err := attempt(t, typ, params, sample)
		if err != nil {
			t.Errorf("example %d on %s: the second time %v", i, sample.Name, err)
			continue
		}
		if diff := cmp.Diff(first.made, second.made); typ.Pure && diff != "" {
			t.Errorf("example %d on %s is not pure (-first +second):\n%s", i, sample.Name, diff)
		}
	}
}

// made is what an attempt leaves behind.
type made struct {
	Result  string
	Outputs map[string][]byte
}

type attempted struct {
	made     made
	progress []millrace.Progress
}

func attempt(t *testing.T, typ tasks.Type, params json.RawMessage, sample taskstest.Input) (attempted, error) {
	t.Helper()
	host := new(taskstest.Host)
	inputs := make([]taskstest.Input, typ.MinInputs)
	for i := range inputs {
		inputs[i] = sample
	}
	result, err := typ.Run(t.Context(), host.Call(inputs...), params)
	if now, _ := host.Reserved(); now != 0 {
		t.Errorf("%s on %s left %d bytes reserved", typ.Name, sample.Name, now)
	}
	return attempted{made{string(result), host.Outputs()}, host.Reported()}, err
}

func attemptOnAny(t *testing.T, typ tasks.Type, params json.RawMessage) (attempted, taskstest.Input, error) {
	t.Helper()
	var errs []error
	for _, sample := range samples(t) {
		got, err := attempt(t, typ, params, sample)
		if err == nil {
			return got, sample, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
	}
	return attempted{}, taskstest.Input{}, errors.Join(errs...)
}

// samples are small inputs of every kind that a task type takes.
func samples(t *testing.T) []taskstest.Input {
	t.Helper()
	table := []byte("id\tname\n1\tone\n2\ttwo\n")
	picture := image.NewNRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			picture.Set(x, y, color.NRGBA{uint8(x * 4), uint8(y * 5), 128, 255})
		}
	}
	var encoded, zipped bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(table); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return []taskstest.Input{
		{Name: "picture.png", Data: encoded.Bytes()}, {Name: "table.csv.gz", Data: zipped.Bytes()}, {Name: "table.tsv", Data: table},
	}
}

// errStopped is a cause of its own: a handler must return the context's error, whatever it made of the reads that failed.
var errStopped = errors.New("stopped by the test")

func checkCanceledBefore(t *testing.T, typ tasks.Type) {
	params, err := typ.Decode(exampleParams(t, typ, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range samples(t) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errStopped)
		host := new(taskstest.Host)
		inputs := make([]taskstest.Input, typ.MinInputs)
		for i := range inputs {
			inputs[i] = sample
		}
		_, err := typ.Run(ctx, host.Call(inputs...), params)
		if !errors.Is(err, context.Canceled) && !errors.Is(err, errStopped) {
			t.Errorf("on %s: %v, want the context's error", sample.Name, err)
		}
		if len(host.Outputs()) != 0 {
			t.Errorf("on %s: completed an output although it was canceled", sample.Name)
		}
	}
}

// checkCanceledWithin ends the context in the middle of endless inputs. The input goes on serving bytes, so the handler must look for itself;
// how many bytes it takes afterwards stands for how long it takes.
func checkCanceledWithin(t *testing.T, typ tasks.Type) {
	params, err := typ.Decode(exampleParams(t, typ, 0))
	if err != nil {
		t.Fatal(err)
	}
	const before, after = 1 << 20, 4 << 20
	for _, sample := range samples(t) {
		ctx, cancel := context.WithCancelCause(t.Context())
		host := &streamHost{size: math.MaxInt64, name: sample.Name, in: newRepeat(sample.Data, math.MaxInt64)}
		host.onRead = func() {
			if host.read.Load() > before {
				cancel(errStopped)
			}
			if host.read.Load() > before+after {
				panic(fmt.Sprintf("%s on %s still reads %d bytes after the end of its context", typ.Name, sample.Name, after))
			}
		}
		_, err := typ.Run(ctx, host.call(typ.MinInputs), params)
		canceled := errors.Is(err, context.Canceled) || errors.Is(err, errStopped)
		if ctx.Err() != nil && !canceled {
			t.Errorf("on endless %s: %v, want the context's error", sample.Name, err)
		}
		if host.closed.Load() != 0 || host.reserved.Load() != 0 {
			t.Errorf("on endless %s: %d outputs completed, %d bytes reserved", sample.Name, host.closed.Load(), host.reserved.Load())
		}
		cancel(nil)
	}
}
