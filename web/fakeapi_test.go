package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// object is a JSON object as the contract describes it.
type object = map[string]any

// fakeAPI is as much of the REST API as the page uses, in memory. A held server moves its jobs only when the test says so.
type fakeAPI struct {
	*httptest.Server
	held bool
	key  string // where set, everything under /v1 asks for it

	mu     sync.Mutex
	files  []object // newest first
	bodies map[string][]byte
	jobs   []object // newest first
	moved  chan struct{}
	serial int
	broken bool // every call is cut off
	calls  []string
	work   sync.WaitGroup
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{bodies: map[string][]byte{}, moved: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", site())
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /v1/session": f.session, "POST /v1/session": f.signIn, "DELETE /v1/session": f.signOut,
		"GET /v1/task-types": f.serveFile("testdata/task-types.json"),
		"POST /v1/files":     f.createFile, "GET /v1/files": f.listFiles, "GET /v1/files/{id}": f.getFile,
		"GET /v1/files/{id}/content": f.content, "DELETE /v1/files/{id}": f.deleteFile,
		"POST /v1/jobs": f.createJob, "GET /v1/jobs": f.listJobs, "GET /v1/jobs/{id}": f.getJob, "DELETE /v1/jobs/{id}": f.deleteJob,
		"GET /v1/jobs/{id}/events": f.events, "GET /v1/jobs/{id}/outputs/{name}": f.output,
		"POST /v1/jobs/{id}/cancel": f.cancel, "POST /v1/jobs/{id}/retry": f.retry,
		"GET /v1/workers": f.workers, "GET /v1/queues": f.queues,
	} {
		mux.HandleFunc(pattern, handle)
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.calls = append(f.calls, r.Method+" "+r.URL.RequestURI())
		broken := f.broken
		f.mu.Unlock()
		switch {
		case broken:
			panic(http.ErrAbortHandler)
		case f.key != "" && strings.HasPrefix(r.URL.Path, "/v1/") && !f.signedIn(r) && !(r.URL.Path == "/v1/session" && r.Method != "GET"):
			refuse(w, 401, "unauthenticated", "a credential is needed")
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
		f.work.Wait()
	})
	return f
}

func (f *fakeAPI) called(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, call := range f.calls {
		if strings.HasPrefix(call, prefix) {
			n++
		}
	}
	return n
}

func (f *fakeAPI) cut(broken bool) {
	f.mu.Lock()
	f.broken = broken
	f.mu.Unlock()
	if broken {
		f.CloseClientConnections()
	}
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code, detail string, pointers ...string) {
	var errors []object
	for _, pointer := range pointers {
		errors = append(errors, object{"pointer": pointer, "detail": detail})
	}
	respond(w, status, object{"title": http.StatusText(status), "status": status, "detail": detail, "code": code, "errors": errors})
}

func (f *fakeAPI) serveFile(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := os.ReadFile(name)
		if err != nil {
			refuse(w, 500, "internal", err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw)
	}
}

func (f *fakeAPI) signedIn(r *http.Request) bool {
	cookie, err := r.Cookie("session")
	return err == nil && cookie.Value == "yes"
}

func (f *fakeAPI) session(w http.ResponseWriter, r *http.Request) {
	respond(w, 200, object{"auth": f.key != ""})
}

func (f *fakeAPI) signIn(w http.ResponseWriter, r *http.Request) {
	var req struct{ Key string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Key != f.key {
		refuse(w, 401, "unauthenticated", "no such key")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "yes", HttpOnly: true, Path: "/", SameSite: http.SameSiteStrictMode})
	respond(w, 200, object{"auth": true})
}

func (f *fakeAPI) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "session", Path: "/", MaxAge: -1})
	w.WriteHeader(204)
}

// id numbers things so that newer ones are greater, as UUIDv7 does.
func (f *fakeAPI) id() string {
	f.serial++
	return fmt.Sprintf("01980000-0000-7000-8000-%012x", f.serial)
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

func find(list []object, id string) object {
	if i := slices.IndexFunc(list, func(o object) bool { return o["id"] == id }); i >= 0 {
		return list[i]
	}
	return nil
}

func (f *fakeAPI) createFile(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
		refuse(w, 415, "unsupported_media_type", "a form could have sent this")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	respond(w, 201, f.keep(r.URL.Query().Get("name"), body))
}

func (f *fakeAPI) keep(name string, body []byte) object {
	sum := sha256.Sum256(body)
	contentType := http.DetectContentType(body)
	file := object{"id": f.id(), "name": name, "size": len(body), "sha256": hex.EncodeToString(sum[:]), "content_type": strings.Split(contentType, ";")[0],
		"created_at": now(), "expires_at": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)}
	file["url"] = "/v1/files/" + file["id"].(string)
	f.bodies[file["id"].(string)] = body
	f.files = append([]object{file}, f.files...)
	return file
}

func (f *fakeAPI) listFiles(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	respond(w, 200, pageOf(f.files, r.URL.Query().Get("cursor")))
}

const pageSize = 20

func pageOf(list []object, cursor string) object {
	start, _ := strconv.Atoi(cursor)
	end := min(start+pageSize, len(list))
	items := list[min(start, end):end]
	if items == nil {
		items = []object{}
	}
	var next any
	if end < len(list) {
		next = strconv.Itoa(end)
	}
	return object{"items": items, "next_cursor": next}
}

func (f *fakeAPI) getFile(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file := find(f.files, r.PathValue("id")); file != nil {
		respond(w, 200, file)
		return
	}
	refuse(w, 404, "not_found", "there is no such file")
}

func (f *fakeAPI) content(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sendFile(w, r.PathValue("id"))
}

func (f *fakeAPI) sendFile(w http.ResponseWriter, id string) {
	file := find(f.files, id)
	if file == nil {
		refuse(w, 404, "not_found", "there is no such file")
		return
	}
	w.Header().Set("Content-Type", file["content_type"].(string))
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", file["name"]))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(f.bodies[id])
}

func (f *fakeAPI) deleteFile(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = slices.DeleteFunc(f.files, func(o object) bool { return o["id"] == r.PathValue("id") })
	w.WriteHeader(204)
}

func (f *fakeAPI) workers(w http.ResponseWriter, r *http.Request) {
	worker := func(id, role string, pid int, running []string) object {
		return object{"id": id, "host": "mill-1", "pid": pid, "role": role, "started_at": time.Now().Add(-3 * time.Hour).UTC().Format(time.RFC3339),
			"beat_at": now(), "slots": object{"cpu": 1, "io": 16}, "running": running, "memory": object{"used": 96 << 20, "budget": 512 << 20}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	running := []string{}
	for _, job := range f.jobs {
		if job["state"] == "running" {
			running = append(running, job["id"].(string))
		}
	}
	respond(w, 200, object{"items": []object{worker("w0", "core", 4101, []string{}), worker("w1", "worker", 4102, running), worker("w2", "worker", 4103, []string{})}})
}

func (f *fakeAPI) queues(w http.ResponseWriter, r *http.Request) {
	var items []object
	for i, name := range []string{"cpu.high", "cpu.normal", "cpu.low", "io.high", "io.normal", "io.low"} {
		items = append(items, object{"name": name, "depth": i * 7, "delayed": i, "running": i % 2, "latency": "120ms", "paused": i == 2})
	}
	respond(w, 200, object{"items": items, "as_of": now(), "limit": 10_000})
}

// clone lets an answer be encoded while its job moves on.
func clone(o object) object { return maps.Clone(o) }
