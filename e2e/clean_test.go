package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leak is what no answer may tell: paths, stacks, and the words of drivers and libraries.
var leak = regexp.MustCompile(`goroutine |\.go:\d|/tmp/|/home/|/root/|/var/|panic|(?i:sqlite|sqlstate|postgres|pgx|redis)|strconv\.|encoding/json|json: |multipart: |http: |open /|no such file|0xc0|nil pointer`)

// checkProblem checks that an answer is a problem document that a person can use, with a status, and a code where one is wanted.
func checkProblem(t *testing.T, what string, status int, header http.Header, raw []byte, want int, code string) problem {
	t.Helper()
	if status != want {
		t.Errorf("%s = %d, want %d; body: %.400s", what, status, want, raw)
		return problem{}
	}
	var p problem
	if err := json.Unmarshal(raw, &p); err != nil || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: a %s that is no problem document (%v): %.400s", what, header.Get("Content-Type"), err, raw)
		return p
	}
	if p.Status != want || p.Type == "" || p.Title == "" || len(p.Detail) < 10 || p.Code == "" || p.Instance == "" || p.Instance != header.Get("X-Request-Id") {
		t.Errorf("%s: a problem document with a gap: %s", what, raw)
	}
	if code != "" && p.Code != code {
		t.Errorf("%s: code %q, want %q; detail: %s", what, p.Code, code, p.Detail)
	}
	if found := leak.FindString(strings.ReplaceAll(string(raw), p.Instance, "")); found != "" { // an id may spell anything
		t.Errorf("%s: the answer tells %q: %s", what, found, raw)
	}
	return p
}

// target is a server that is treated badly. Its client reports to the subtest at hand.
type target struct {
	*server
	probe string // a file for checkWorks
}

// probeText is what the probe holds. A test that must upload something good uploads this: equal bytes are kept once.
const probeText = "does it work?"

func newTarget(s *server) *target {
	return &target{server: s, probe: s.upload("probe.txt", []byte(probeText)).ID}
}

// on is a client that reports to a subtest.
func (s *target) on(t *testing.T) *client { return &client{t: t, url: s.url, http: s.http} }

// refused sends a request that must be refused.
func (s *target) refused(t *testing.T, method, path, contentType, body string, want int, code string) problem {
	t.Helper()
	what := fmt.Sprintf("%s %.80s %s %.60q", method, path, contentType, body)
	status, header, raw, err := s.do(method, path, contentType, strings.NewReader(body))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return problem{}
	}
	return checkProblem(t, what, status, header, raw, want, code)
}

// address is the host and port of the server.
func (s *target) address() string { return strings.TrimPrefix(s.url, "http://") }

// dial opens a connection of one's own to the server.
func (s *target) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.address(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

// answer reads the server's answer from a connection of one's own; nil when it was closed without one.
func answer(t *testing.T, conn net.Conn) (*http.Response, []byte) {
	t.Helper()
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, nil
	}
	defer res.Body.Close()
	var raw []byte
	buf := make([]byte, 4096)
	for {
		n, err := res.Body.Read(buf)
		raw = append(raw, buf[:n]...)
		if err != nil {
			return res, raw
		}
	}
}

// traces is what a server keeps: its list of files, and the files in its directory of blobs.
type traces struct {
	files []string
	blobs []string
}

func (s *target) traces(t *testing.T) traces {
	t.Helper()
	var found traces
	for cursor := ""; ; {
		var page struct {
			Items      []file
			NextCursor *string `json:"next_cursor"`
		}
		status, _, raw, err := s.do("GET", "/v1/files?limit=500"+cursor, "", nil)
		if err != nil || status != http.StatusOK || json.Unmarshal(raw, &page) != nil {
			t.Fatalf("GET /v1/files = %d, %v: %.300s", status, err, raw)
		}
		for _, f := range page.Items {
			found.files = append(found.files, f.ID+" "+f.Name)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	err := filepath.WalkDir(filepath.Join(s.dir, "data", "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found.blobs = append(found.blobs, filepath.Base(path))
		}
		return nil // a temporary file may go while one looks
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found.files)
	slices.Sort(found.blobs)
	return found
}

// leavesNothing runs a subtest after which the server keeps what it kept before, and still works.
func (s *target) leavesNothing(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		before := s.traces(t)
		test(t)
		var after traces
		deadline := time.Now().Add(15 * time.Second)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for { // what a broken connection leaves is cleared once the server notices
			after = s.traces(t)
			if slices.Equal(before.files, after.files) && slices.Equal(before.blobs, after.blobs) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("left behind: files %v, blobs %v", added(before.files, after.files), added(before.blobs, after.blobs))
				break
			}
			<-tick.C
		}
		s.checkWorks(t)
	})
}

func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(s string) bool { return slices.Contains(before, s) })
}

// checkWorks submits a job that must succeed.
func (s *target) checkWorks(t *testing.T) {
	t.Helper()
	status, _, raw, err := s.do("POST", "/v1/jobs?wait=30s", "application/json", strings.NewReader(fmt.Sprintf(quickJob, s.probe)))
	var j job
	if err != nil || status != http.StatusOK || json.Unmarshal(raw, &j) != nil || j.State != "succeeded" {
		t.Errorf("the server does not work any more: POST /v1/jobs = %d, %v: %.400s", status, err, raw)
	}
}

// checkPeak checks that none of the server's processes ever had more memory resident. It sees what Linux tells.
func (s *target) checkPeak(t *testing.T, limit int64) {
	t.Helper()
	var pids []string
	for _, p := range s.processes {
		pids = append(pids, strconv.Itoa(p.cmd.Process.Pid))
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && slices.Contains(pids, fields[1]) { // its parent
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	var peaks []string
	for _, pid := range pids {
		raw, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(raw), "VmHWM:")
		kb, err := strconv.ParseInt(strings.Fields(rest + " x")[0], 10, 64)
		if err != nil {
			continue
		}
		peaks = append(peaks, fmt.Sprintf("%s: %d MiB", pid, kb>>10))
		if kb<<10 > limit {
			t.Errorf("process %s had %d MiB resident, want at most %d", pid, kb>>10, limit>>20)
		}
	}
	t.Logf("peaks of memory by process: %s", strings.Join(peaks, ", "))
}

// sorted puts a comma-separated list in order, without OPTIONS, which a server may name or not.
func sorted(list string) string {
	names := strings.Split(strings.ReplaceAll(list, " ", ""), ",")
	names = slices.DeleteFunc(names, func(name string) bool { return name == "OPTIONS" || name == "" })
	slices.Sort(names)
	return strings.Join(names, ", ")
}
