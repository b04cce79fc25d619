package jobspec_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/internal/jobspec"
	"github.com/millrace/millrace/internal/strict"
)

var plainSeeds = []string{
	`{"type":"image.resize","input":{"file":"x"},"params":{"width":800,"a":[1,-2.5e+3,null,true,false,"ü"]},"cache":false,"max_attempts":3}`,
	` { "type" : "x" , "tags" : [ "a" , "b" ] , "unique" : { "key" : "k" , "ttl" : "1h" } , "metadata" : { } } `,
	`{"tags":[],"run_at":"a","delay":"b","timeout":"c","deadline":"d","retention":"e","priority":"f"}`,
	`{"type":"a","type":"b"}`, `{"Type":"a"}`, `{"type":null}`, `{"cache":true,}`, `{"max_attempts":1e2}`, `{"max_attempts":-0}`, `{"max_attempts":01}`,
	`{"params":[]}`, `{"params":{"a":}}`, `{"tags":["a",1]}`, `{"input":{"file":"a","file":"b"}}`, `{"input":{"url":"x"}}`, `{"input":{}}`, `{"a":1} {}`,
	`{"type":"a\u0062"}`, "{\"type\":\"a\x01\"}", "{\"type\":\"\xff\"}", `{}`, `[]`, ``, `{"params":{"a":0.}}`, `{"params":{"a":.5}}`, `{"params":{"a":-}}`,
	`{"unique":{"key":"","key":"b"}}`, `{"metadata":{"a":1}x}`, `{"cache":tru}`, `{"cache":truefalse}`, "{\"type\":\"\x7f\u2028\"}",
}

// FuzzPlain holds the quick decoder against the careful one: what the first takes, the second takes too, and reads the same in it.
func FuzzPlain(f *testing.F) {
	for _, seed := range plainSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var quick, careful jobspec.Request
		if !jobspec.Plain(doc, &quick) {
			return
		}
		if err := strict.Object(doc, &careful); err != nil {
			t.Fatalf("%q is plain, but %v", doc, err)
		}
		if diff := cmp.Diff(careful, quick); diff != "" {
			t.Errorf("%q (-careful +quick):\n%s", doc, diff)
		}
	})
}

// TestPlainIsTheUsualCase: the quick decoder takes what it is there for, or it is there for nothing.
func TestPlainIsTheUsualCase(t *testing.T) {
	t.Parallel()
	for i, doc := range plainSeeds {
		if got, want := jobspec.Plain([]byte(doc), new(jobspec.Request)), i < 3; i < 4 && got != want {
			t.Errorf("%s is plain: %v, want %v", doc, got, want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	doc := []byte(`{"type":"compute.checksum","input":{"file":"` + fileID + `"},"params":{"algorithms":["sha256"]},"cache":false}`)
	if !json.Valid(doc) {
		b.Fatal("no JSON")
	}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jobspec.Decode(doc, "acme"); err != nil {
			b.Fatal(err)
		}
	}
}
