package functions

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// blackHole makes every connection of out one that takes what is written and never
// answers. It works within a bubble.
func blackHole(out *Outbound) {
	out.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			_, _ = io.Copy(io.Discard, far)
			_ = far.Close()
		}()
		return near, nil
	}
}

// TestJobsOutliveNoBlackHole: no wall clock ends a job here, so that its calls must
// end by themselves, whatever kind of policy they follow.
func TestJobsOutliveNoBlackHole(t *testing.T) {
	for _, tc := range []struct {
		policy string // empty: none is given
		within time.Duration
	}{
		{"", 2 * (3*10 + 3) * time.Second},
		{"full:attempts=2,base=1s", 2 * (2*10 + 1) * time.Second},
		{"guide", 2 * 10 * time.Second},
		{"none", 2 * 10 * time.Second},
		{"none:attempt_timeout=3s", 2 * 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			out := NewOutbound(OutboundOptions{})
			defer out.Close()
			blackHole(out)
			ledger := truth.New(0)
			o := TrackEventOptions{Metrics: new(counter), Retrier: &Retrier{Outbound: out, Ledger: ledger}, Ledger: ledger}
			if tc.policy != "" {
				var given PostPolicy
				if err := given.UnmarshalText([]byte(tc.policy)); err != nil {
					t.Fatal(err)
				}
				o.Policy = (*retry.Policy)(&given)
			}
			k := NewTrackEvent(o)
			rec := httptest.NewRecorder()
			body := ada + `, "webhook_url": "http://127.0.0.1/", "callback_url": "http://127.0.0.1/"}`
			k.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
			if rec.Code != 200 || k.Pending() != 1 {
				t.Errorf("%q: %d %s, %d pending", tc.policy, rec.Code, rec.Body, k.Pending())
			}
			time.Sleep(tc.within)
			synctest.Wait()
			var events []string
			for _, r := range records(t, ledger, truth.Job) {
				if r.ID == rec.Header().Get(wire.HeaderJobID) {
					events = append(events, r.Event)
				}
			}
			if got := strings.Join(events, " "); k.Pending() != 0 || got != "queued started metrics_updated failed callback_failed" {
				t.Errorf("%q: %d pending after %s, %s", tc.policy, k.Pending(), tc.within, got)
			}
		})
	}
}

func TestPostPolicyText(t *testing.T) {
	for text, want := range map[string]struct {
		timeout time.Duration
		written string
	}{
		"full":                       {PostTimeout, "full:attempt_timeout=10s"},
		"full:attempts=5":            {PostTimeout, "full:attempts=5,attempt_timeout=10s"},
		"guide":                      {PostTimeout, "guide:attempt_timeout=10s"},
		"none":                       {PostTimeout, "none:attempt_timeout=10s"},
		"equal:attempt_timeout=2s":   {2 * time.Second, "equal:attempt_timeout=2s"},
		"full:attempt_timeout=0s":    {0, "full:attempt_timeout=0s"},
		"none: attempt_timeout=0s":   {0, "none:attempt_timeout=0s"},
		"guide:attempts=4,seed=1":    {PostTimeout, "guide:attempts=4,attempt_timeout=10s,seed=1"},
		"guide:attempt_timeout=0s":   {0, "guide:attempt_timeout=0s"},
		"equal:attempt_timeout=1h0s": {time.Hour, "equal:attempt_timeout=1h0m0s"},
	} {
		var p, again PostPolicy
		if err := p.UnmarshalText([]byte(text)); err != nil || p.AttemptTimeout != want.timeout {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
		written, err := p.MarshalText()
		if err != nil || string(written) != want.written {
			t.Errorf("%q is written %q, %v; want %q", text, written, err, want.written)
		}
		if err := again.UnmarshalText(written); err != nil || again != p {
			t.Errorf("%q reads as %+v, %v; want %+v", written, again, err, p)
		}
	}
	p := DefaultPostPolicy()
	if err := p.UnmarshalText([]byte("linear")); err == nil || p != DefaultPostPolicy() {
		t.Errorf("%+v, %v", p, err)
	}
}
