package driver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A step is a pause and the bytes sent after it in one flush.
type step struct {
	after time.Duration
	send  string
}

// script answers every request with an event stream of these steps.
func script(steps ...step) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for _, s := range steps {
			if !pause(r.Context(), s.after) {
				return
			}
			_, _ = io.WriteString(w, s.send)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// pause waits, or reports false when the client has gone.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// An sseRun is n streams, one after the other, against a target.
type sseRun struct {
	target   string
	n        int
	request  scenario.Request
	dialect  scenario.Dialect
	timeout  time.Duration
	http2    bool
	insecure bool
	warmup   time.Duration
	feed     *scenario.Feed
	dir      string
	ctx      context.Context
	change   func(*scenario.Workload) // nil changes nothing
}

func (r sseRun) do(t *testing.T) figures {
	t.Helper()
	if r.request.Path == "" {
		r.request.Path = "/functions/v1/stream-ai"
	}
	if r.timeout == 0 {
		r.timeout = 10 * time.Second
	}
	if r.ctx == nil {
		r.ctx = t.Context()
	}
	w := &scenario.Workload{
		Protocol: scenario.SSE, Request: &r.request, Dialect: r.dialect, Timeout: scenario.Duration(r.timeout),
		HTTP2: r.http2, InsecureSkipVerify: r.insecure, Feed: r.feed,
	}
	if r.change != nil {
		r.change(w)
	}
	d, err := newSSE(opening{scenario: &scenario.Scenario{Target: r.target, Seed: 1, Dir: r.dir}, name: "chat", workload: w})
	if err != nil {
		t.Fatal(err)
	}
	clock := engine.NewClock()
	rec := engine.NewRecorder(sseMetrics(), r.warmup)
	if err := d.Begin(engine.Run{ID: "r1", Workload: "chat", Seed: 1, Clock: clock, Warmup: r.warmup}); err != nil {
		t.Fatal(err)
	}
	for i := range max(r.n, 1) {
		now := clock.Now()
		arrive(r.ctx, d, engine.Arrival{Seq: uint64(i), User: -1, Intended: now, Started: now}, rec.At(now))
	}
	d.End(rec)
	f := collect(t, rec)
	for _, b := range f.balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	if len(f.balances) != 2 {
		t.Errorf("%d balances", len(f.balances))
	}
	return f
}

// failed holds the one class of failure to account.
func (f figures) failed(class string, inExample ...string) {
	f.t.Helper()
	e, ok := f.errors[class]
	if !ok || len(f.errors) != 1 {
		f.t.Errorf("errors are %+v, want %q alone", f.errors, class)
	}
	for _, text := range inExample {
		if !strings.Contains(e.Example, text) {
			f.t.Errorf("example %q does not tell %q", e.Example, text)
		}
	}
}

// between holds a histogram's only sample to account, which has three digits.
func (f figures) between(name string, least, most time.Duration) {
	f.t.Helper()
	d := f.metrics[name].Distribution
	if d == nil || d.Count == 0 || d.Min < int64(least-least/1000) || d.Max > int64(most) {
		f.t.Errorf("%s is %+v, want between %v and %v", name, d, least, most)
	}
}

// apart holds the distance between the only samples of two histograms to
// account: a busy machine delays both.
func (f figures) apart(early, late string, least time.Duration) {
	f.t.Helper()
	a, b := f.metrics[early].Distribution, f.metrics[late].Distribution
	if a == nil || b == nil || a.Count != 1 || b.Count != 1 || b.Min-a.Max < int64(least) {
		f.t.Errorf("%s is %+v and %s is %+v, want them %v apart", early, a, late, b, least)
	}
}

const anthropicHead = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"output_tokens\":1}}}\n\n" +
	"event: ping\ndata: {\"type\":\"ping\"}\n\n"

const anthropicTail = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n" +
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

func textDelta(s string) string {
	return fmt.Sprintf("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n", s)
}

// slack is how much later than the least an instant may be on a busy machine.
const slack = 3 * time.Second
