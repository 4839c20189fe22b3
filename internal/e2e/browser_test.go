package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser starts a headless Chromium for the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("these tests need Chromium (make test installs it; by hand: apt-get install chromium): %v", err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// evaluated opens a page of an origin that is not the server's and returns what
// the promise of a script in it comes to.
func evaluated[T any](t *testing.T, script string) T {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>app</title>"))
	}))
	defer origin.Close()
	ctx := browser(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(origin.URL)); err != nil {
		t.Fatal(err)
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A page of another origin calls the functions as the guide's client does, with
// its headers: the browser asks first (preflight), then streams.
func TestBrowserStreamsAcrossOrigins(t *testing.T) {
	s := startServer(t, "--sim-ttft", "constant:50ms", "--sim-gap", "constant:10ms", "--sim-tokens", "constant:20")
	type answer struct {
		Status int
		Type   string
		Words  int
		Reads  int
		Stop   bool
		Stamps int
	}
	script := fmt.Sprintf(`(async () => {
		const res = await fetch(%q, {
			method: 'POST',
			headers: {'Authorization': 'Bearer anon', 'apikey': 'anon', 'x-client-info': 'test', 'Content-Type': 'application/json'},
			body: JSON.stringify({prompt: 'hello'}),
		});
		const out = {Status: res.status, Type: res.headers.get('content-type'), Words: 0, Reads: 0, Stop: false, Stamps: 0};
		const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
		let text = '';
		for (;;) {
			const {value, done} = await reader.read();
			if (done) break;
			out.Reads++;
			text += value;
		}
		for (const line of text.split('\n')) {
			if (line.startsWith(': sent=')) out.Stamps++;
			if (!line.startsWith('data: ')) continue; // the guide's own parsing
			const event = JSON.parse(line.substring(6));
			if (event.delta?.text) out.Words += event.delta.text.trim().split(/\s+/).length;
			if (event.type === 'message_stop') out.Stop = true;
		}
		return out;
	})()`, s.URL+"/functions/v1/stream-ai")
	got := evaluated[answer](t, script)
	if got.Status != 200 || !strings.HasPrefix(got.Type, "text/event-stream") || got.Words != 20 || !got.Stop {
		t.Errorf("the browser saw %+v, want 20 words and message_stop", got)
	}
	if got.Reads < 10 {
		t.Errorf("the answer came in %d reads: it was not streamed", got.Reads)
	}
	if got.Stamps < 25 {
		t.Errorf("%d stamps, want one before each event", got.Stamps)
	}
}

// Two pages of another origin talk through the relay.
func TestBrowserRelaysAcrossOrigins(t *testing.T) {
	s := startServer(t)
	script := fmt.Sprintf(`(async () => {
		const url = %q + '/functions/v1/ws-relay?room=browser';
		const open = () => new Promise((resolve, reject) => {
			const ws = new WebSocket(url);
			ws.onopen = () => resolve(ws);
			ws.onerror = () => reject(new Error('no connection'));
		});
		const [a, b] = await Promise.all([open(), open()]);
		const got = [];
		const two = new Promise((resolve) => {
			b.onmessage = async (e) => {
				got.push(typeof e.data === 'string' ? e.data : 'binary ' + (await e.data.arrayBuffer()).byteLength);
				if (got.length === 2) resolve();
			};
		});
		a.onmessage = (e) => got.push('echo ' + e.data);
		a.send('grüße');
		a.send(new Uint8Array(1000));
		await two;
		const closed = new Promise((resolve) => { b.onclose = (e) => resolve('closed ' + e.code + ' ' + e.wasClean); });
		b.close(1000);
		got.push(await closed);
		return got;
	})()`, strings.Replace(s.URL, "http", "ws", 1))
	got := evaluated[[]string](t, script)
	if want := []string{"grüße", "binary 1000", "closed 1000 true"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("the browser saw %q, want %q", got, want)
	}
}

// The report is one page that needs nothing else, on a desktop and on a phone,
// light and dark.
func TestReportInABrowser(t *testing.T) {
	path, err := filepath.Abs("../../reports/example/report.html")
	if err != nil {
		t.Fatal(err)
	}
	ctx := browser(t)
	var mu sync.Mutex
	var complaints, requests []string
	if err := chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *cdpruntime.EventExceptionThrown:
			complaints = append(complaints, fmt.Sprint(ev.ExceptionDetails))
		case *cdpruntime.EventConsoleAPICalled:
			complaints = append(complaints, string(ev.Type))
		case *network.EventRequestWillBeSent:
			requests = append(requests, ev.Request.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+path)); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int64{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 800)); err != nil {
				t.Fatal(err)
			}
			seen, err := chromedp.Run(ctx, chromedp.Evaluate[look](lookScript))
			if err != nil {
				t.Fatal(err)
			}
			if seen.Overflow > 0 {
				t.Errorf("%d px %s: the page scrolls sideways by %v px", width, scheme, seen.Overflow)
			}
			if seen.Charts < 8 || seen.Unlabeled > 0 {
				t.Errorf("%d px %s: %d charts, %d of them without a label", width, scheme, seen.Charts, seen.Unlabeled)
			}
			if !strings.Contains(seen.Title, "guide-app") || !strings.Contains(seen.Text, "VALID") || !strings.Contains(seen.Text, "delivery_ratio") {
				t.Errorf("%d px %s: title %q and text lack the name, the verdict or a metric", width, scheme, seen.Title)
			}
			if seen.Ink == "" || strings.Contains(seen.Paper, seen.Ink) {
				t.Errorf("%d px %s: ink %s on paper %s", width, scheme, seen.Ink, seen.Paper)
			}
		}
	}
	mu.Lock()
	if len(complaints) > 0 || len(requests) != 1 {
		t.Errorf("complaints %q, requests %q; want none, and the page alone", complaints, requests)
	}
	mu.Unlock()
	pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF(chromedp.PDFPrintBackground()))
	if err != nil {
		t.Fatal(err)
	}
	if len(pdf) < 20_000 {
		t.Errorf("printed, the page is %d bytes", len(pdf))
	}
}

// A look is what a person would notice of a page first.
type look struct {
	Overflow          float64
	Charts, Unlabeled int
	Title, Text       string
	Ink, Paper        string
}

const lookScript = `({
	Overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
	Charts: document.querySelectorAll('svg').length,
	Unlabeled: [...document.querySelectorAll('svg')].filter(s => !s.getAttribute('aria-label') && !s.querySelector('title') && !s.getAttribute('aria-labelledby')).length,
	Title: document.title,
	Text: document.body.innerText,
	Ink: getComputedStyle(document.body).color,
	Paper: getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor,
})`
