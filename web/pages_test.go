package web_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestPages drives the other screens.
func TestPages(t *testing.T) {
	browser := startBrowser(t)
	for name, check := range map[string]func(*tab){
		"jobs live": jobsLive, "jobs filtered": jobsFiltered, "jobs by page": jobsByPage, "one job": oneJob, "files": filesPage, "navigation": navigation, "theme": themeChoice,
	} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.held = true
			check(openTab(t, browser, api, look{width: 1280, height: 900}))
		})
	}
	t.Run("sign in", func(t *testing.T) {
		api := newFakeAPI(t)
		api.key = "open sesame and more"
		signIn(openTab(t, browser, api, look{width: 1280, height: 900}))
	})
}

// seed puts jobs into the server, the first one oldest.
func (f *fakeAPI) seed(states ...string) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.keep("seed.bin", []byte("seed"))
	for i, state := range states {
		job := object{"id": f.id(), "type": "file.compress", "state": state, "priority": "normal", "params": object{}, "input": object{"file": file["id"]},
			"tags": []string{fmt.Sprintf("batch-%d", i%2)}, "metadata": object{"order": "<42>"}, "progress": object{"done": 0, "total": 0, "percent": 0}, "run": 1, "attempt": 1, "max_attempts": 5,
			"attempts": []object{}, "error": nil, "result": nil, "outputs": []object{}, "cached": false, "created_at": now(), "run_at": now(),
			"started_at": nil, "finished_at": nil, "expires_at": nil}
		f.jobs = append([]object{job}, f.jobs...)
		ids = append(ids, job["id"].(string))
	}
	return ids
}

func jobsLive(b *tab) {
	ids := b.api.seed("queued", "failed")
	b.open("/jobs")
	row := func(id string) string { return fmt.Sprintf("tr[data-key='%s']", id) }
	b.waitText(row(ids[0]), "queued")
	b.api.start(ids[0])
	b.waitText(row(ids[0]), "40 %")
	b.click(row(ids[0]) + " [data-action=cancel]")
	b.waitText(row(ids[0]), "canceled")
	b.click(row(ids[1]) + " [data-action=retry]")
	b.waitText(row(ids[1]), "queued")

	// Deleting asks first; keeping is what Enter and Escape do.
	b.click(row(ids[0]) + " [data-action=delete]")
	b.wait(`document.querySelector("#ask").open`)
	b.press(kb.Escape)
	b.wait(`!document.querySelector("#ask").open`)
	if b.api.called("DELETE") != 0 {
		b.Fatal("deleted without a yes")
	}
	b.click(row(ids[0]) + " [data-action=delete]")
	b.wait(`document.querySelector("#ask").open`)
	b.click("#ask [value=yes]")
	b.wait(fmt.Sprintf("!document.querySelector(%q)", row(ids[0])))
	b.waitText("#status", "Job deleted")
}

func jobsFiltered(b *tab) {
	b.api.seed("succeeded", "failed", "failed", "queued")
	b.open("/jobs?state=failed")
	b.wait(`document.querySelectorAll("tbody tr").length === 2`)
	b.wait(`document.querySelector("[name=state]").value === "failed"`)
	b.run(chromedp.Evaluate[chromedp.Void](`(() => { const s = document.querySelector("[name=tag]"); s.value = "batch-1"; s.form.requestSubmit(); })()`))
	b.wait(`location.search === "?state=failed&tag=batch-1"`)
	b.wait(`document.querySelectorAll("tbody tr").length === 1`)
	b.run(chromedp.Evaluate[chromedp.Void](`history.back()`))
	b.wait(`document.querySelectorAll("tbody tr").length === 2 && location.search === "?state=failed"`)
	b.open("/jobs?tag=none")
	b.waitText(".empty", "No job matches")
	b.click(".empty a")
	b.wait(`document.querySelectorAll("tbody tr").length === 4`)
}

func jobsByPage(b *tab) {
	states := make([]string, pageSize+5)
	for i := range states {
		states[i] = "succeeded"
	}
	ids := b.api.seed(states...)
	b.open("/jobs")
	b.wait(fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d`, pageSize))
	b.click(".pager a")
	b.wait(`document.querySelectorAll("tbody tr").length === 5`)
	b.waitText(fmt.Sprintf("tr[data-key='%s']", ids[0]), "Compress a file")
	b.click(".pager a")
	b.wait(fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d && location.search === ""`, pageSize))
}

func oneJob(b *tab) {
	id := b.api.seed("queued")[0]
	b.open("/jobs/" + id)
	b.waitText("#main", "Waits for a free worker")
	b.api.start(id)
	b.waitText("#main", "40 %")
	b.waitText(".events", "attempt 1 started")
	b.api.finish(id)
	b.waitText("#main", "Download")
	b.waitText("#attempts ~ *, .scroll table", "succeeded")
	b.waitText("#status", "succeeded")
	if title := eval[string](b, "document.title"); !strings.Contains(title, "succeeded") {
		b.Errorf("the title is %q, want it to tell the state", title)
	}
	b.click(".heading a")
	b.waitText("#source", "seed.bin")
	b.wait(`document.querySelector("[value='file.compress']").checked`)

	b.allow("404")
	b.open("/jobs/01980000-0000-7000-8000-00000000ffff")
	b.waitText(".empty", "This job is gone")
}

func filesPage(b *tab) {
	b.api.seed("succeeded")
	b.open("/files")
	b.waitText("tbody tr", "seed.bin")
	b.click("[data-action=delete]")
	b.wait(`document.querySelector("#ask").open`)
	b.click("#ask [value=yes]")
	b.waitText(".empty", "No files yet")
}

// navigation: links change the screen without a load, say where one is, and move the focus to its title.
func navigation(b *tab) {
	b.open("/")
	b.wait(`document.querySelector("#tasks .task")`)
	b.run(chromedp.Evaluate[chromedp.Void](`void (window.sameVisit = true)`))
	for _, screen := range []struct{ path, title string }{{"/jobs", "Jobs"}, {"/files", "Files"}, {"/workers", "Workers"}, {"/", "New job"}} {
		b.click(fmt.Sprintf("#nav a[href='%s']", screen.path))
		b.waitText("h1", screen.title)
		b.waitFor("the focus is at the title", func() bool { return strings.HasPrefix(b.focused(), "h1|") })
		if got := eval[string](b, `document.querySelector("[aria-current=page]").textContent`); got != screen.title {
			b.Errorf("at %s the navigation marks %q, want %q", screen.path, got, screen.title)
		}
		if got := eval[string](b, "document.title"); !strings.HasPrefix(got, screen.title) {
			b.Errorf("at %s the title is %q, want it to begin with %q", screen.path, got, screen.title)
		}
	}
	if !eval[bool](b, `window.sameVisit === true`) {
		b.Error("a link of the page loaded it again")
	}
}

func themeChoice(b *tab) {
	b.open("/jobs")
	b.waitText(".empty", "No jobs yet")
	background := `getComputedStyle(document.body).backgroundColor`
	light := eval[string](b, background)
	b.click("#theme")
	b.click("#theme")
	b.waitText("#theme", "dark")
	dark := eval[string](b, background)
	if light == dark {
		b.Errorf("the background is %s in both themes", light)
	}
	b.run(chromedp.Reload())
	b.waitText("#theme", "dark")
	if again := eval[string](b, background); again != dark {
		b.Errorf("after a reload the background is %s, want %s", again, dark)
	}
}

func signIn(b *tab) {
	b.allow("401")
	b.open("/jobs")
	b.waitText("h1", "Sign in")
	b.click("form .button")
	b.waitText("#key-error", "Type the key first")
	b.run(chromedp.SendKeys(chromedp.CSS("#key"), "wrong key"+kb.Enter))
	b.waitText("#key-error", "not known here")
	b.run(chromedp.Evaluate[chromedp.Void](`void (document.querySelector("#key").value = "")`), chromedp.SendKeys(chromedp.CSS("#key"), b.api.key+kb.Enter))
	b.waitText(".empty", "No jobs yet")
	b.wait(`!document.querySelector("#sign-out").hidden`)

	b.submitSample("mountains.jpg", "")
	b.waitText("#panel", "% smaller")
	b.waitText("#panel .command pre", "Authorization: Bearer $MILLRACE_KEY")
	if html := eval[string](b, "document.documentElement.outerHTML"); strings.Contains(html, b.api.key) {
		b.Error("the key is on the page")
	}
	b.click("#sign-out")
	b.waitText("h1", "Sign in")
}
