package handlers_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

const allAlgorithms = `{"algorithms":["sha256","sha1","md5","blake3","xxh3","crc32"]}`

// TestChecksum holds the digests to the published ones of nothing, of "abc", and of "123456789", the check value of CRC catalogues.
func TestChecksum(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, params, data string
		want               tasks.ChecksumResult
	}{
		{"nothing", allAlgorithms, "", tasks.ChecksumResult{
			"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"sha1":   "da39a3ee5e6b4b0d3255bfef95601890afd80709",
			"md5":    "d41d8cd98f00b204e9800998ecf8427e",
			"blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
			"xxh3":   "2d06800538d394c2",
			"crc32":  "00000000",
		}},
		{"abc", allAlgorithms, "abc", tasks.ChecksumResult{
			"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			"sha1":   "a9993e364706816aba3e25717850c26c9cd0d89d",
			"md5":    "900150983cd24fb0d6963f7d28e17f72",
			"blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
			"xxh3":   "78af5f94892f3950",
			"crc32":  "352441c2",
		}},
		{"one", `{"algorithms":["crc32"]}`, "123456789", tasks.ChecksumResult{"crc32": "cbf43926"}},
		{"default", `{}`, "", tasks.ChecksumResult{"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, host, err := run[tasks.ChecksumResult](t, "compute.checksum", tc.params, taskstest.Input{Name: "x", Data: []byte(tc.data)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if len(host.Outputs()) != 0 {
				t.Errorf("%d outputs, want none", len(host.Outputs()))
			}
		})
	}
}

func TestChecksumAgreesWithStockTools(t *testing.T) {
	t.Parallel()
	data := noise(3<<20 + 17)
	got, _, err := run[tasks.ChecksumResult](t, "compute.checksum", allAlgorithms, taskstest.Input{Name: "x", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, tool := range map[string]string{"sha256": "sha256sum", "sha1": "sha1sum", "md5": "md5sum"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Logf("%s is not installed", tool)
			continue
		}
		cmd := exec.CommandContext(t.Context(), path)
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), got[algorithm]) {
			t.Errorf("%s says %q, want %s in it", tool, out, got[algorithm])
		}
	}
}

func TestChecksumParams(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, "compute.checksum")
	if typ.Pool != millrace.IO || !typ.Pure || typ.MaxInputs != 1 {
		t.Errorf("pool %s, pure %v, at most %d inputs, want io, true and 1", typ.Pool, typ.Pure, typ.MaxInputs)
	}
	for _, raw := range []string{`{"algorithms":[]}`, `{"algorithms":["sha512"]}`, `{"algorithms":["md5","md5"]}`, `{"algorithms":"md5"}`} {
		if got, err := typ.Decode(json.RawMessage(raw)); err == nil {
			t.Errorf("Decode(%s) = %s, want an error", raw, got)
		}
	}
}
