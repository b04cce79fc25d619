package web_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestSubmit is the first minute of somebody who has just started a server.
func TestSubmit(t *testing.T) {
	browser := startBrowser(t)
	usual := look{width: 1280, height: 900}
	t.Run("by keyboard", func(t *testing.T) {
		api := newFakeAPI(t)
		api.held = true
		byKeyboard(openTab(t, browser, api, usual))
	})
	t.Run("before and after", func(t *testing.T) { beforeAndAfter(openTab(t, browser, newFakeAPI(t), usual)) })
	t.Run("a file of one's own", func(t *testing.T) { ownFile(openTab(t, browser, newFakeAPI(t), usual)) })
	t.Run("errors at their fields", func(t *testing.T) { fieldErrors(openTab(t, browser, newFakeAPI(t), usual)) })
	t.Run("a connection that breaks", func(t *testing.T) {
		api := newFakeAPI(t)
		api.held = true
		brokenConnection(openTab(t, browser, api, usual))
	})
	t.Run("a file without a future", func(t *testing.T) { lostFile(openTab(t, browser, newFakeAPI(t), usual)) })
	t.Run("a job that fails", func(t *testing.T) { failingJob(openTab(t, browser, newFakeAPI(t), usual)) })
}

// press types keys one after the other.
func (b *tab) press(keys ...string) {
	b.Helper()
	for _, key := range keys {
		b.run(chromedp.KeyEvent(key))
	}
}

// tabTo moves the focus on until it is at something that is described by a part of a text.
func (b *tab) tabTo(part string) {
	b.Helper()
	var seen []string
	for range 80 {
		at := b.focused()
		if strings.Contains(at, part) {
			if !eval[bool](b, `document.activeElement.matches(':focus-visible, input[type=file]')`) {
				b.Errorf("the focus at %q is not to be seen", at)
			}
			return
		}
		seen = append(seen, at)
		b.press(kb.Tab)
	}
	b.Fatalf("no way by keyboard to %q; passed %q", part, seen)
}

// byKeyboard goes from the first visit to a result without a pointer and without a reload.
func byKeyboard(b *tab) {
	b.open("/")
	b.wait(`document.querySelector("#tasks .task")`)
	b.run(chromedp.Evaluate[chromedp.Void](`void (window.sameVisit = true)`))
	b.press(kb.Tab)
	if at := b.focused(); !strings.Contains(at, "Skip to the content") {
		b.Errorf("the first stop of the keyboard is %q, want the skip link", at)
	}
	b.tabTo("Mountains")
	b.press(kb.Enter)
	b.waitText("#source", "mountains.jpg")
	b.wait(`document.querySelector("[value='image.resize']").checked`)
	b.tabTo("|/params/width|")
	b.run(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`))
	b.press("3", "0", "0")
	b.press(kb.Enter)

	b.waitFor("a job is accepted", func() bool { return b.api.newest() != "" })
	id := b.api.newest()
	if got := fmt.Sprint(b.api.job(id)["params"]); got != "map[format:jpeg width:300]" {
		b.Errorf("params = %s, want only what was chosen", got)
	}
	b.waitText("#panel", "queued")
	if at := b.focused(); !strings.HasPrefix(at, "h2|panel-title") {
		b.Errorf("the focus is at %q, want the title of the result", at)
	}
	b.api.start(id)
	b.waitText("#panel", "40 %")
	b.api.progress(id, 73)
	b.waitText("#panel", "73 %")
	b.wait(`document.querySelector("#panel progress").value === 73`)
	b.waitFor("one event stream is open", func() bool { return b.api.called("GET /v1/jobs/"+id+"/events") == 1 })
	b.api.finish(id)
	b.waitText("#panel", "% smaller")
	b.waitText("#status", "succeeded")
	b.waitText("#panel", "1200 × 800")
	b.waitText("#panel", "300 × 200")
	if !eval[bool](b, `window.sameVisit === true`) {
		b.Error("the page was loaded again")
	}
	b.checkResult(id)
	// The address holds the result: the same after a reload.
	b.run(chromedp.Reload())
	b.waitText("#panel", "% smaller")
	b.waitText("#source", "mountains.jpg")
	b.wait(`document.querySelector("[name='/params/width']").value === "300"`)
}

// checkResult looks at pictures, download and shell line of a finished resize.
func (b *tab) checkResult(id string) {
	b.Helper()
	b.wait(`[...document.images].every((image) => image.complete && image.naturalWidth > 0)`)
	href := eval[string](b, `document.querySelector("#panel a[download].button").getAttribute("href")`)
	if want := "/v1/jobs/" + id + "/outputs/mountains.jpg"; href != want {
		b.Errorf("the download is %q, want %q", href, want)
	}
	size := eval[float64](b, fmt.Sprintf("fetch(%q).then((r) => r.blob()).then((blob) => blob.size)", href))
	if want := b.api.job(id)["outputs"].([]object)[0]["size"].(int); int(size) != want {
		b.Errorf("the download has %v bytes, want %d", size, want)
	}
	line := b.text("#panel .command pre")
	for _, want := range []string{"curl -sS '" + b.api.URL + "/v1/jobs?wait=30s'", "-F type=image.resize", `-F 'params={"width":300,"format":"jpeg"}'`, "-F file=@mountains.jpg"} {
		if !strings.Contains(line, want) {
			b.Errorf("the shell line %q lacks %q", line, want)
		}
	}
}

func ownFile(b *tab) {
	path := filepath.Join(b.TempDir(), `notes <b>&"1.txt`)
	if err := os.WriteFile(path, []byte(strings.Repeat("the mill turns\n", 5000)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.open("/")
	b.wait(`document.querySelector("#tasks .task")`)
	b.run(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
	b.waitText("#source", filepath.Base(path))
	b.wait(`document.querySelector("[value='file.compress']").checked`)
	b.click("#start")
	b.waitText("#panel", "% smaller")
	if got, want := b.api.called("POST /v1/files?name="+strings.ReplaceAll(url.QueryEscape(filepath.Base(path)), "+", "%20")), 1; got != want {
		b.Errorf("%d uploads under the file's name, want %d: %q", got, want, b.api.calls)
	}
	// The same file again, with another task: it is not sent again.
	b.click("[name=type][value='compute.checksum']")
	b.click("#start")
	b.waitText("#panel .digests", "sha256")
	if got := b.api.called("POST /v1/files"); got != 1 {
		b.Errorf("%d uploads for two jobs with one file, want 1", got)
	}
}

func fieldErrors(b *tab) {
	b.open("/")
	b.wait(`document.querySelector("#tasks .task")`)
	b.click("#start")
	b.waitText("#input-error", "Bring a file first")
	b.click("[data-sample='mountains.jpg']")
	b.waitText("#source", "mountains.jpg")
	b.wait(`document.querySelector("#input-error").innerText === ""`)

	set := func(pointer, value string) {
		b.run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (document.querySelector("[name='%s']").value = %q)`, pointer, value)))
	}
	wrong := func(pointer string) string { return fmt.Sprintf("[data-field='%s'] > .error", pointer) }
	set("/params/width", "99999")
	b.click("#start")
	b.waitText(wrong("/params/width"), "16384")
	if at := b.focused(); !strings.Contains(at, "/params/width") {
		b.Errorf("the focus is at %q, want the wrong field", at)
	}
	if b.api.called("POST /v1/") != 0 {
		b.Error("a wrong form was sent")
	}

	// What only the server knows: the field lies under "More options", which opens.
	b.allow("422")
	set("/params/width", "300")
	set("/params/background", "red")
	b.click("#start")
	b.waitText(wrong("/params/background"), "Must be a colour")
	b.wait(`document.querySelector(".more").open`)
	if at := b.focused(); !strings.Contains(at, "/params/background") {
		b.Errorf("the focus is at %q, want the wrong field", at)
	}
	b.wait(`document.querySelector("[name='/params/background']").getAttribute("aria-invalid") === "true"`)
	b.wait(`document.querySelector("[data-field='/params/width'] > .error").innerText === ""`)
	b.shot("field")
	set("/params/background", "#ffeedd")
	b.click("#start")
	b.waitText("#panel", "smaller")
	b.wait(`!document.querySelector(".wrong")`)
}

// brokenConnection cuts the stream and the server for a while: the page says so, asks again, and ends right.
func brokenConnection(b *tab) {
	b.submitSample("mountains.jpg", "")
	id := b.api.newest()
	b.api.start(id)
	b.waitText("#panel", "40 %")
	b.allow("net::ERR_")
	b.api.cut(true)
	b.waitText("#notice", "does not answer")
	b.api.cut(false)
	b.api.finish(id)
	b.waitText("#panel", "% smaller")
	b.wait(`document.querySelector("#notice").innerText === ""`)
}

// lostFile: the server has dropped the upload in the meantime.
func lostFile(b *tab) {
	b.submitSample("mountains.jpg", "")
	b.waitText("#panel", "% smaller")
	b.wait(`[...document.images].every((image) => image.complete)`)
	b.api.mu.Lock()
	b.api.files = nil
	b.api.mu.Unlock()
	b.allow("422")
	b.click("#start")
	b.waitText("#input-error", "Does not exist")
	b.click("#start")
	b.waitFor("the file is sent again", func() bool { return b.api.called("POST /v1/files") == 2 })
	b.waitFor("the job is accepted", func() bool { return b.api.called("POST /v1/jobs") == 3 })
	b.waitText("#panel", "% smaller")
}

func failingJob(b *tab) {
	path := filepath.Join(b.TempDir(), "broken.jpg")
	if err := os.WriteFile(path, []byte("\xff\xd8\xff\xe0 and no more"), 0o600); err != nil {
		b.Fatal(err)
	}
	b.open("/")
	b.wait(`document.querySelector("#tasks .task")`)
	b.run(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
	b.waitText("#source", "broken.jpg")
	b.click("#start")
	b.waitText("#panel .notice", "the picture ends in the middle")
	b.waitText("#panel .notice", "Get a fresh copy")
	b.waitText("#status", "failed")
	b.click("#panel a[data-key=page]")
	b.waitText("h1", "Resize a picture")
	b.waitText("#main", "Get a fresh copy")
	b.click("[data-action=retry]")
	b.waitText("#main", "queued")
	b.waitText("#status", "Queued again")
}

// beforeAndAfter moves the slider by keyboard and by pointer. Pictures of another shape have none.
func beforeAndAfter(b *tab) {
	b.submitSample("mountains.jpg", "")
	b.wait(`document.querySelector("#panel mill-compare input") && [...document.images].every((image) => image.complete && image.naturalWidth > 0)`)
	shown := func() string {
		return eval[string](b, `getComputedStyle(document.querySelector("mill-compare .upper")).clipPath`)
	}
	half := shown()
	if !strings.Contains(half, "50%") {
		b.Errorf("the picture before is cut as %q, want half of it", half)
	}
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("mill-compare input").focus()`))
	b.press(kb.ArrowRight, kb.ArrowRight, kb.ArrowRight)
	if value := eval[string](b, `document.querySelector("mill-compare input").value`); value != "53" || shown() == half {
		b.Errorf("after three steps to the right the slider is at %s and the cut %q", value, shown())
	}
	b.run(chromedp.Evaluate[chromedp.Void](`(() => { const o = document.querySelector("mill-compare .over"), r = o.getBoundingClientRect();
		o.dispatchEvent(new PointerEvent("pointermove", { pointerType: "mouse", clientX: r.left + r.width / 4, clientY: r.top + 5 })); })()`))
	if value := eval[string](b, `document.querySelector("mill-compare input").value`); value != "25" {
		b.Errorf("with the pointer at a quarter the slider is at %s", value)
	}
	same := eval[bool](b, `(() => { const [a, c] = ["under", "upper"].map((name) => document.querySelector("mill-compare ." + name).getBoundingClientRect()); return Math.abs(a.width - c.width) < 1 && Math.abs(a.height - c.height) < 1 && a.width > 100; })()`)
	if !same {
		b.Error("the two pictures do not cover each other")
	}

	b.submitVariants("mountains.jpg", `{"variants":[{"name":"a","width":100},{"name":"b","width":200}]}`)
	b.waitText("#panel .variants", "100 ×")
	if eval[bool](b, `!!document.querySelector("#panel mill-compare")`) {
		b.Error("variants have a slider")
	}
}
