package web_test

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAccessible scans each screen with axe-core in both themes, and asks a few things that a scan does not.
func TestAccessible(t *testing.T) {
	browser := startBrowser(t)
	axe := axeSource(t)
	for name, as := range map[string]look{"light": {width: 1280, height: 900}, "dark": {width: 1280, height: 900, dark: true}, "narrow": {width: 360, height: 740}} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.held = true
			b := openTab(t, browser, api, as)
			for _, screen := range accessScreens(b) {
				screen.open()
				b.scan(axe, screen.name)
				b.structure(screen.name)
			}
		})
	}
}

type accessScreen struct {
	name string
	open func()
}

func accessScreens(b *tab) []accessScreen {
	run := func(sample, taskType string, finish bool) func() {
		return func() {
			b.submitSample(sample, taskType)
			b.api.start(b.api.newest())
			b.waitText("#panel", "running")
			if finish {
				b.api.finish(b.api.newest())
				b.waitText("#panel", "succeeded")
			}
		}
	}
	at := func(path, until string) func() {
		return func() {
			b.open(path)
			b.wait(fmt.Sprintf("document.querySelector(%q)", until))
		}
	}
	job := func() { at("/jobs/"+b.api.newest(), ".digests")() }
	return []accessScreen{
		{"home", at("/", "#tasks .task")}, {"no jobs", at("/jobs", ".empty")}, {"no files", at("/files", ".empty")},
		{"options", func() {
			at("/submit?type=image.resize", "#tasks .task")()
			b.run(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true; })`))
			b.click("#start")
			b.waitText("#input-error", "Bring a file")
		}},
		{"progress", run("server.log", "file.compress", false)}, {"picture", run("mountains.jpg", "", true)}, {"stats", run("orders.csv", "compute.stats", true)},
		{"digests", run("server.log", "compute.checksum", true)},
		{"jobs", at("/jobs", "tbody tr")}, {"job", job}, {"files", at("/files", "tbody tr")}, {"workers", at("/workers", "#queues")},
		{"question", func() {
			at("/files", "tbody tr")()
			b.click("[data-action=delete]")
			b.wait(`document.querySelector("#ask").open`)
		}},
	}
}

// axeVersion is what `npm pack` is asked for where MILLRACE_AXE names no file.
const axeVersion = "4.14.1"

// axeSource is axe-core's script: a test tool of other people (MPL-2.0), fetched and never shipped.
func axeSource(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("MILLRACE_AXE"); path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("MILLRACE_AXE: %v", err)
		}
		return string(raw)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing(t, "no axe-core: MILLRACE_AXE does not name its axe.min.js, and there is no npm to fetch it")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), npm, "pack", "--silent", "axe-core@"+axeVersion)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("no axe-core: npm pack: %v: %s", err, out))
	}
	return fromTarball(t, filepath.Join(dir, "axe-core-"+axeVersion+".tgz"), "package/axe.min.js")
}

func fromTarball(t *testing.T, path, name string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(unpacked); ; {
		header, err := r.Next()
		if err != nil {
			t.Fatalf("%s in %s: %v", name, path, err)
		}
		if header.Name == name {
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
	}
}

// scan runs axe over the present page. The script comes in by the debugger, so the page's policy stays as it is.
func (b *tab) scan(axe, name string) {
	b.Helper()
	if !eval[bool](b, "'axe' in window") {
		b.run(chromedp.Evaluate[chromedp.Void](axe + "; void 0"))
	}
	for _, violation := range eval[[]string](b, `axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => v.id + ': ' + v.help + ' ' + v.nodes.map((n) => n.target.join(' ') + ' ' + n.html.slice(0, 160)).join(' | ')))`) {
		b.Errorf("%s: %s", name, violation)
	}
}

// structure asks what each screen must have: one title, headings in order, targets large enough, a name for every control.
func (b *tab) structure(name string) {
	b.Helper()
	if n := eval[int](b, `document.querySelectorAll("h1").length`); n != 1 {
		b.Errorf("%s: %d titles, want one", name, n)
	}
	if jumps := eval[bool](b, `[...document.querySelectorAll("h1, h2, h3")].some((h, i, all) => i && h.tagName[1] - all[i - 1].tagName[1] > 1)`); jumps {
		b.Errorf("%s: the headings skip a level", name)
	}
	small := eval[[]string](b, `[...document.querySelectorAll("button, select, input:not(.away), textarea, summary, .button")].filter((e) => e.checkVisibility() && !e.matches("label input")).filter((e) => { const r = e.getBoundingClientRect(); return r.height > 0 && Math.max(r.height, e.labels?.[0]?.getBoundingClientRect().height ?? 0) < 24; }).map((e) => e.outerHTML.slice(0, 100))`)
	if len(small) > 0 {
		b.Errorf("%s: lower than 24 pixels: %s", name, strings.Join(small, "\n"))
	}
}
