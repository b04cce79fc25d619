package web_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const patience = 60 * time.Second

// startBrowser starts one Chromium for a test and its subtests.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		missing(t, "no Chromium in PATH; install the package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return browser
}

// missing skips a test for want of something, unless everything is demanded.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("MILLRACE_TEST_REQUIRE") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// look is how a tab sees the page.
type look struct {
	width, height int64
	dark          bool
	forced        bool // colours of the system instead of the page's
}

// tab is one page of the browser. At the end of its test it fails for any script error, console error or request to another host.
type tab struct {
	*testing.T
	ctx  context.Context
	api  *fakeAPI
	host string

	mu       sync.Mutex
	problems []string
	allowed  []string // parts of console errors that the test provokes
}

func openTab(t *testing.T, browser context.Context, api *fakeAPI, as look) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	target, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	b := &tab{T: t, ctx: ctx, api: api, host: target.Host}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	b.see(as)
	t.Cleanup(func() {
		if t.Failed() {
			b.shot("failed")
		}
		closeTab()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			t.Error(problem)
		}
	})
	return b
}

func (b *tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
		b.problem("script error: " + text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.problem(fmt.Sprintf("console %s: %v", e.Type, e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.problem(fmt.Sprintf("console %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != b.host && u.Scheme != "blob" && u.Scheme != "data" {
			b.problem("request to another place: " + e.Request.URL)
		}
	}
}

func (b *tab) problem(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range b.allowed {
		if strings.Contains(text, part) {
			return
		}
	}
	b.problems = append(b.problems, text)
}

// allow names a console error that the test is about to provoke: a browser reports each refused request.
func (b *tab) allow(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed = append(b.allowed, part)
}

// see sets how large the window is and what the system prefers.
func (b *tab) see(as look) {
	b.Helper()
	scheme := "light"
	if as.dark {
		scheme = "dark"
	}
	forced := "none"
	if as.forced {
		forced = "active"
	}
	b.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		size := emulation.SetDeviceMetricsOverrideParams{Width: as.width, Height: as.height, DeviceScaleFactor: 1, Mobile: as.width < 500}
		if _, err := cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, size); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, {Name: "forced-colors", Value: forced},
		}})
		return err
	}))
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("browser: %v", err)
	}
}

func (b *tab) open(path string) {
	b.Helper()
	b.run(chromedp.Navigate(b.api.URL + path))
}

// wait waits until a JavaScript expression is true.
func (b *tab) wait(expression string) {
	b.Helper()
	b.waitFor(expression, func() bool { return eval[bool](b, "Boolean("+expression+")") })
}

// waitFor waits until something is true on this side of the wire.
func (b *tab) waitFor(what string, is func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("never true: %s\nthe page says: %s", what, b.text("body"))
		}
	}
}

// text is what an element shows.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

func eval[T any](b *tab, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// waitText waits until an element shows a text.
func (b *tab) waitText(selector, want string) {
	b.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, want))
}

func (b *tab) click(selector string) {
	b.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)", selector))
	b.run(chromedp.Click(chromedp.CSS(selector)))
}

// focused describes where the keyboard is.
func (b *tab) focused() string {
	b.Helper()
	return eval[string](b, `(() => { const e = document.activeElement; return [e.localName, e.id, e.name ?? '', e.innerText?.trim().split('\n')[0] ?? ''].join('|'); })()`)
}

// shot keeps a picture of the window where MILLRACE_SCREENSHOTS says.
func (b *tab) shot(name string) {
	dir := os.Getenv("MILLRACE_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Logf("screenshot: %v", err)
		return
	}
	path := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(b.Name()+"-"+name)+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		b.Logf("screenshot: %v", err)
	}
}
