package web_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"slices"
	"strings"
)

func (f *fakeAPI) createJob(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Type   string
		Input  struct{ File string }
		Params object
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, "malformed", err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if find(f.files, req.Input.File) == nil {
		refuse(w, 422, "invalid", "does not exist", "/input/file")
		return
	}
	if background, ok := req.Params["background"].(string); ok && !strings.HasPrefix(background, "#") {
		refuse(w, 422, "invalid", "must be a colour such as #ff8800", "/params/background")
		return
	}
	job := object{"id": f.id(), "type": req.Type, "state": "queued", "priority": "normal", "params": req.Params, "input": object{"file": req.Input.File},
		"tags": []string{"demo"}, "metadata": object{}, "progress": object{"done": 0, "total": 0, "unit": "", "percent": 0, "message": ""}, "run": 1, "attempt": 0, "max_attempts": 5,
		"attempts": []object{}, "error": nil, "result": nil, "outputs": []object{}, "cached": false,
		"created_at": now(), "run_at": now(), "started_at": nil, "finished_at": nil, "expires_at": nil}
	f.jobs = append([]object{job}, f.jobs...)
	respond(w, 202, job)
	if !f.held {
		f.work.Go(func() {
			f.start(job["id"].(string))
			f.finish(job["id"].(string))
		})
	}
}

// change replaces a job by a changed copy and tells who watches.
func (f *fakeAPI) change(id string, edit func(job object)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.jobs, func(o object) bool { return o["id"] == id })
	if i < 0 {
		return
	}
	job := clone(f.jobs[i])
	edit(job)
	f.jobs[i] = job
	close(f.moved)
	f.moved = make(chan struct{})
}

// start has a worker take the job and get to 40 %.
func (f *fakeAPI) start(id string) {
	f.change(id, func(job object) {
		job["state"], job["attempt"], job["started_at"] = "running", 1, now()
		job["attempts"] = []object{{"n": 1, "run": job["run"], "worker": "0198-worker-one", "started_at": now(), "ended_at": nil, "outcome": nil, "spent": false, "error": nil}}
	})
	f.progress(id, 40)
}

func (f *fakeAPI) progress(id string, percent int) {
	f.change(id, func(job object) {
		job["progress"] = object{"done": percent * 1000, "total": 100_000, "unit": "bytes", "percent": percent, "message": "working"}
	})
}

// finish ends the job with what it would really give, as far as the page shows it.
func (f *fakeAPI) finish(id string) {
	f.change(id, func(job object) {
		if job["state"] != "running" {
			return
		}
		file := find(f.files, job["input"].(object)["file"].(string))
		outcome := "succeeded"
		if file["name"] == "broken.jpg" {
			outcome = "error"
			failure := object{"code": "corrupt", "message": "the picture ends in the middle", "retryable": false}
			job["state"], job["error"] = "failed", failure
		} else {
			job["state"] = "succeeded"
			f.result(job, file)
		}
		attempt := clone(job["attempts"].([]object)[0])
		attempt["ended_at"], attempt["outcome"], attempt["spent"], attempt["error"] = now(), outcome, outcome == "error", job["error"]
		job["attempts"], job["finished_at"] = []object{attempt}, now()
	})
}

func (f *fakeAPI) result(job, file object) {
	body := f.bodies[file["id"].(string)]
	name := file["name"].(string)
	switch job["type"] {
	case "image.resize":
		if variants, ok := job["params"].(object)["variants"].([]any); ok {
			f.variants(job, body, variants)
			return
		}
		width := 400
		if w, ok := job["params"].(object)["width"].(float64); ok {
			width = int(w)
		}
		small, source, size := shrink(body, width)
		job["result"] = object{"width": size.X, "height": size.Y, "format": "jpeg", "quality": 80, "has_alpha": false, "dominant_color": "#7a8ca0",
			"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj", "engine": "fake", "source": object{"width": source.X, "height": source.Y, "format": "jpeg"}}
		f.put(job, name, small)
	case "file.compress":
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(body)
		_ = w.Close()
		sum := sha256.Sum256(packed.Bytes())
		job["result"] = object{"in_bytes": len(body), "out_bytes": packed.Len(), "ratio": float64(len(body)) / float64(packed.Len()), "sha256": hex.EncodeToString(sum[:])}
		f.put(job, name+".gz", packed.Bytes())
	case "compute.stats":
		raw, err := os.ReadFile("testdata/stats.json")
		if err != nil {
			panic(err)
		}
		job["result"] = json.RawMessage(raw)
	case "compute.checksum":
		sum := sha256.Sum256(body)
		job["result"] = object{"sha256": hex.EncodeToString(sum[:])}
	}
}

// variants makes one output for each.
func (f *fakeAPI) variants(job object, body []byte, variants []any) {
	var results []object
	var source image.Point
	for _, v := range variants {
		v := v.(map[string]any)
		small, from, size := shrink(body, int(v["width"].(float64)))
		source = from
		results = append(results, object{"name": v["name"], "width": size.X, "height": size.Y, "format": "jpeg", "bytes": len(small), "quality": 80, "has_alpha": false})
		f.put(job, v["name"].(string), small)
	}
	job["result"] = object{"engine": "fake", "source": object{"width": source.X, "height": source.Y, "format": "jpeg"}, "variants": results}
}

func (f *fakeAPI) put(job object, name string, body []byte) {
	file := f.keep(name, body)
	outputs, _ := job["outputs"].([]object)
	job["outputs"] = append(slices.Clone(outputs), object{"name": name, "file": file["id"], "size": file["size"], "content_type": file["content_type"], "sha256": file["sha256"],
		"url": fmt.Sprintf("/v1/jobs/%s/outputs/%s", job["id"], name)})
}

func shrink(body []byte, width int) (small []byte, source, size image.Point) {
	img, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		return body, source, size
	}
	source = img.Bounds().Size()
	size = image.Pt(width, width*source.Y/source.X)
	out := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			out.Set(x, y, img.At(x*source.X/size.X, y*source.Y/size.Y))
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, out, nil); err != nil {
		panic(err)
	}
	return buf.Bytes(), source, size
}

func (f *fakeAPI) listJobs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []object
	for _, job := range f.jobs {
		tags, _ := job["tags"].([]string)
		if (q.Get("state") == "" || job["state"] == q.Get("state")) && (q.Get("type") == "" || job["type"] == q.Get("type")) &&
			(q.Get("tag") == "" || slices.Contains(tags, q.Get("tag"))) {
			list = append(list, job)
		}
	}
	respond(w, 200, pageOf(list, q.Get("cursor")))
}

func (f *fakeAPI) job(id string) object {
	f.mu.Lock()
	defer f.mu.Unlock()
	return find(f.jobs, id)
}

// newest is the id of the job submitted last, "" before the first.
func (f *fakeAPI) newest() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.jobs) == 0 {
		return ""
	}
	return f.jobs[0]["id"].(string)
}

func (f *fakeAPI) getJob(w http.ResponseWriter, r *http.Request) {
	if job := f.job(r.PathValue("id")); job != nil {
		respond(w, 200, job)
		return
	}
	refuse(w, 404, "not_found", "there is no such job")
}

func (f *fakeAPI) deleteJob(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = slices.DeleteFunc(f.jobs, func(o object) bool { return o["id"] == r.PathValue("id") })
	w.WriteHeader(204)
}

func (f *fakeAPI) cancel(w http.ResponseWriter, r *http.Request) {
	f.change(r.PathValue("id"), func(job object) { job["state"], job["finished_at"] = "canceled", now() })
	f.getJob(w, r)
}

func (f *fakeAPI) retry(w http.ResponseWriter, r *http.Request) {
	f.change(r.PathValue("id"), func(job object) {
		job["state"], job["run"], job["error"], job["finished_at"], job["attempts"] = "queued", 2, nil, nil, []object{}
	})
	f.getJob(w, r)
}

func (f *fakeAPI) output(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	job := find(f.jobs, r.PathValue("id"))
	for _, output := range job["outputs"].([]object) {
		if output["name"] == r.PathValue("name") {
			f.sendFile(w, output["file"].(string))
		}
	}
}

// events streams as the contract says: the state at once, then each change, and done at the end.
func (f *fakeAPI) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event string, data any) {
		raw, err := json.Marshal(data)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, raw)
		w.(http.Flusher).Flush()
	}
	state := any(nil)
	for {
		f.mu.Lock()
		job, moved := find(f.jobs, r.PathValue("id")), f.moved
		f.mu.Unlock()
		switch {
		case job == nil:
			return
		case slices.Contains([]any{"succeeded", "failed", "canceled"}, job["state"]):
			send("done", job)
			return
		case job["state"] != state:
			state = job["state"]
			send("state", job)
		default:
			send("progress", job["progress"])
		}
		select {
		case <-moved:
		case <-r.Context().Done():
			return
		}
	}
}
