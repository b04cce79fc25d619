package web_test

import (
	"fmt"
	"net/url"
	"testing"
)

// looks are how the page must be pleasant to see.
func looks() map[string]look {
	return map[string]look{
		"light wide": {width: 1280, height: 900}, "dark wide": {width: 1280, height: 900, dark: true},
		"light narrow": {width: 360, height: 740}, "dark narrow": {width: 360, height: 740, dark: true},
		"forced colours": {width: 1280, height: 900, dark: true, forced: true},
	}
}

// TestScreens goes through every screen in each look: nothing may stick out sideways.
func TestScreens(t *testing.T) {
	browser := startBrowser(t)
	for name, as := range looks() {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.held = true
			b := openTab(t, browser, api, as)
			b.fits("/", "#tasks .task", "home")
			b.fits("/jobs", ".empty", "jobs-empty")
			b.fits("/files", ".empty", "files-empty")

			b.submitSample("mountains.jpg", "")
			b.wait(`document.querySelector("#panel mill-state")`)
			api.start(api.newest())
			b.waitText("#panel", "40 %")
			b.checkFit("progress")
			api.finish(api.newest())
			b.waitText("#panel", "smaller")
			b.wait(`[...document.images].every((image) => image.complete)`)
			b.checkFit("picture")
			picture := api.newest()
			b.submitVariants("mountains.jpg", `{"variants":[{"name":"small","width":120},{"name":"medium","width":320},{"name":"large","width":640}]}`)
			api.start(api.newest())
			api.finish(api.newest())
			b.wait(`document.querySelectorAll("#panel .variants img").length === 4 && [...document.images].every((image) => image.complete)`)
			b.checkFit("variants")

			b.submitSample("orders.csv", "compute.stats")
			api.start(api.newest())
			api.finish(api.newest())
			b.wait(`document.querySelector("#panel .histogram")`)
			b.checkFit("stats")

			b.submitSample("server.log", "file.compress")
			api.start(api.newest())
			b.submitSample("server.log", "compute.checksum")
			api.start(api.newest())
			api.finish(api.newest())
			b.wait(`document.querySelector("#panel .digests")`)
			b.checkFit("checksum")

			b.fits("/jobs", "tbody tr:nth-child(4)", "jobs")
			b.fits("/jobs/"+picture, "mill-compare img", "job")
			b.fits("/files", "tbody tr", "files")
			b.fits("/workers", "#queues", "workers")
		})
	}
}

func (b *tab) fits(path, until, name string) {
	b.Helper()
	b.open(path)
	b.wait(fmt.Sprintf("document.querySelector(%q)", until))
	b.checkFit(name)
}

func (b *tab) checkFit(name string) {
	b.Helper()
	if name == "" {
		return
	}
	b.shot(name)
	wide := eval[[]string](b, `[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, pre, .away')).map((e) => e.outerHTML.slice(0, 120))`)
	if len(wide) > 0 {
		b.Errorf("%s: wider than the window: %q", name, wide)
	}
}

// submitSample takes a sample, picks a task type (or leaves the suggestion) and starts the job.
func (b *tab) submitSample(name, taskType string) {
	b.Helper()
	before := b.api.newest()
	b.open("/submit")
	b.click(fmt.Sprintf("[data-sample=%q]", name))
	b.waitText(".chosen", name)
	if taskType != "" {
		b.click(fmt.Sprintf("[name=type][value=%q]", taskType))
	}
	b.click("#start")
	b.waitFor("a job is accepted", func() bool { return b.api.newest() != before })
}

// submitVariants submits a sample with params that no control of the form can make.
func (b *tab) submitVariants(name, params string) {
	b.Helper()
	before := b.api.newest()
	b.open("/submit?type=image.resize&params=" + url.QueryEscape(params))
	b.click(fmt.Sprintf("[data-sample=%q]", name))
	b.waitText(".chosen", name)
	b.click("#start")
	b.waitFor("a job is accepted", func() bool { return b.api.newest() != before })
}
