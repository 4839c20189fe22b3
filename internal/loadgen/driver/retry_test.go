package driver

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Targets that keep to what they state are found to, and what they did is counted
// exactly.
func TestRetryConformingTargets(t *testing.T) {
	for _, rule := range []scenario.Backoff{
		scenario.BackoffGuide, scenario.BackoffFull, scenario.BackoffEqual, scenario.BackoffDecorrelated, scenario.BackoffExponential, scenario.BackoffConstant,
	} {
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			r := runRetry(t, by(rule).start(t), retryWorkload(rule, statuses(503, 429, 200)...))
			n := r.arrivals()
			r.counts(map[string]int64{
				"succeeded": n, "resolved": n, "attempts_total": 3 * n, "first_attempts": n, "retries": 2 * n,
				"waits_judged": 2 * n, "waits_conforming": 2 * n, "retries_binned": 2 * n,
			})
			if a := r.metric("attempts").Distribution; a.Count != n || a.Min != 3 || a.Max != 3 {
				t.Errorf("attempts %+v", a)
			}
			for name, want := range map[string]int64{"wait": 2 * n, "wait{retry=1}": n, "wait{retry=2}": n, "wait{retry=3}": 0, "relay": n, "latency": n} {
				if d := r.metric(name).Distribution; d.Count != want {
					t.Errorf("%d samples of %s, want %d", d.Count, name, want)
				}
			}
			if a := r.metric("amplification"); a.Value != 3 {
				t.Errorf("amplification %+v", a)
			}
			spread := rule != scenario.BackoffExponential && rule != scenario.BackoffConstant
			if tested := r.count("waits_tested"); spread && tested != 2*n || !spread && tested != 0 {
				t.Errorf("%d of %d waits tested", tested, 2*n)
			}
			if p := r.metric("misfit_p"); spread && (p.Den != million || p.Value < backoff.Alarm) || !spread && p.Den != 0 {
				t.Errorf("misfit_p %+v", p)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		r := runRetry(t, by(scenario.BackoffNone).start(t), retryWorkload(scenario.BackoffNone, statuses(503)...))
		n := r.arrivals()
		r.counts(map[string]int64{"http_error": n, "resolved": n, "attempts_total": n, "retries": 0})
	})
	t.Run("exhausted", func(t *testing.T) {
		t.Parallel()
		r := runRetry(t, by(scenario.BackoffFull).start(t), retryWorkload(scenario.BackoffFull, statuses(500)...))
		n := r.arrivals()
		r.counts(map[string]int64{"http_error": n, "given_up": n, "resolved": 0, "attempts_total": 3 * n})
	})
	t.Run("odds", func(t *testing.T) {
		t.Parallel()
		w := retryWorkload(scenario.BackoffFull)
		w.Upstream.Odds = map[string]scenario.Share{"503": .3, "400": .1}
		r := runRetry(t, by(scenario.BackoffFull).start(t), w)
		again := r.count("retries") + r.count("given_up") // each answer of 503
		if share := float64(again) / float64(r.count("attempts_total")); share < .15 || share > .45 {
			t.Errorf("%.0f %% of the attempts were to be tried again", 100*share)
		}
		r.counts(map[string]int64{"resolved": r.arrivals() - r.count("given_up")})
		same := runRetry(t, by(scenario.BackoffFull).start(t), w)
		if a, b := r.count("attempts_total"), same.count("attempts_total"); a != b {
			t.Errorf("%d attempts, then %d by the same seed", a, b)
		}
	})
}

// Each way to break a policy is told from the others.
func TestRetryBrokenTargets(t *testing.T) {
	full := by(scenario.BackoffFull)
	for _, tt := range []struct {
		name    string
		change  func(*retryTarget)
		stated  scenario.Backoff
		replies []scenario.Reply
		limit   time.Duration // of a request
		want    func(n int64) map[string]int64
		class   string
	}{
		{"no jitter", func(rt *retryTarget) { rt.wait = by(scenario.BackoffExponential).wait }, scenario.BackoffFull, statuses(503, 503, 200), 0,
			func(n int64) map[string]int64 {
				return map[string]int64{"resolved": n, "jitter_missing": 1, "waits_misfit": 1, "violations": 2}
			}, classJitter},
		{"jitter on top", func(rt *retryTarget) { rt.wait = by(scenario.BackoffGuide).wait }, scenario.BackoffFull, statuses(503, 503, 200), 0,
			func(n int64) map[string]int64 {
				return map[string]int64{"resolved": n, "waits_misfit": 1, "violations": 1}
			}, classMisfit},
		{"too short", func(rt *retryTarget) { rt.wait = by(scenario.BackoffFull).wait }, scenario.BackoffConstant, statuses(503, 200), 0,
			func(n int64) map[string]int64 {
				return map[string]int64{"resolved": n, "waits_early": -1, "violations": -1}
			}, ""},
		{"retries a 400", func(rt *retryTarget) { rt.again = func(status int) bool { return status >= 400 } }, scenario.BackoffFull, statuses(400, 400, 200), 0,
			func(n int64) map[string]int64 {
				return map[string]int64{"resolved": n, "retried_wrongly": 2 * n, "waits_judged": 0, "violations": 2 * n}
			}, ""},
		{"never retries", func(rt *retryTarget) { rt.attempts = 1 }, scenario.BackoffFull, statuses(503), 0,
			func(n int64) map[string]int64 {
				return map[string]int64{"given_up": n, "not_retried": n, "violations": n, "retries": 0}
			}, ""},
		{"without end", func(rt *retryTarget) { rt.attempts = 0; rt.wait = by(scenario.BackoffConstant).wait }, scenario.BackoffConstant, statuses(503), 150 * ms,
			func(n int64) map[string]int64 {
				return map[string]int64{"cut": n, "timeout": n, "too_many_attempts": -1, "violations": -1, "attempts_after_answer": -2, "waits_judged": 2 * n}
			}, ""},
		{"after the answer", func(rt *retryTarget) { rt.early = true; rt.attempts = 2 }, scenario.BackoffFull, statuses(503, 503), 0,
			func(int64) map[string]int64 {
				return map[string]int64{"attempts_after_answer": -1, "violations": -1, "unattempted": -1, "left_open": -2, "not_retried": -2}
			}, ""},
		{"twice at once", func(rt *retryTarget) { rt.double = true }, scenario.BackoffFull, []scenario.Reply{{Status: 404, Delay: 20 * ms}}, 0,
			func(n int64) map[string]int64 {
				return map[string]int64{"attempts_overlapping": n, "retried_wrongly": n, "resolved": -2, "attempts_total": 3 * n, "violations": n}
			}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := full
			tt.change(&target)
			w := retryWorkload(tt.stated, tt.replies...)
			if tt.limit > 0 {
				w.Timeout = scenario.Duration(tt.limit)
			}
			r := runRetry(t, target.start(t), w)
			want := tt.want(r.arrivals())
			for name, n := range want {
				switch got := r.count(name); {
				case n == -1 && got == 0:
					t.Errorf("%s is 0", name)
				case n < 0:
					want[name] = got
				}
			}
			r.counts(want)
			found := ""
			for _, e := range r.Errors {
				if e.Class == classJitter || found == "" && e.Class == classMisfit {
					found = e.Class
				}
			}
			if found != tt.class {
				t.Errorf("errors %+v", r.Errors)
			}
		})
	}
}

// A Retry-After that is heeded makes a wait longer, and one that is not is told.
func TestRetryAfter(t *testing.T) {
	replies := []scenario.Reply{{Status: 429, RetryAfter: time.Second}, {Status: 200}}
	for _, heeds := range []bool{true, false} {
		for _, stated := range []bool{true, false} {
			target := by(scenario.BackoffFull)
			target.heeds = heeds
			w := retryWorkload(scenario.BackoffFull, replies...)
			w.Policy.RetryAfter = stated
			t.Run(map[bool]string{true: "heeds", false: "ignores"}[heeds]+map[bool]string{true: ", stated", false: ""}[stated], func(t *testing.T) {
				t.Parallel()
				r := runRetry(t, target.start(t), w)
				n := r.arrivals()
				want := map[string]int64{"retry_after_honoured": n, "retry_after_ignored": 0, "waits_conforming": n}
				if !heeds {
					want["retry_after_honoured"], want["retry_after_ignored"] = 0, n
				}
				if heeds != stated {
					want["waits_conforming"], want["violations"] = 0, n
					want[map[bool]string{true: "waits_late", false: "waits_early"}[heeds]] = n
				}
				if heeds && !stated { // all of them together, a second away
					want["jitter_missing"], want["waits_misfit"], want["violations"] = 1, 1, n+2
				}
				r.counts(want)
			})
		}
	}
}

// Attempts that are reset or never answered have no status; the target's timeout shows.
func TestRetryWithoutAnswers(t *testing.T) {
	target := by(scenario.BackoffFull)
	target.timeout = 100 * ms
	t.Run("hang", func(t *testing.T) {
		t.Parallel()
		r := runRetry(t, target.start(t), retryWorkload(scenario.BackoffFull, scenario.Reply{Hang: true}, scenario.Reply{Status: 200}))
		n := r.arrivals()
		overlapping := r.count("attempts_overlapping") // the next attempt was there before the end of the last was seen
		r.counts(map[string]int64{"succeeded": n, "resolved": n, "attempts_cut": n - overlapping, "retries": n, "waits_conforming": n - overlapping, "attempts_overlapping": overlapping})
		if overlapping > n/4 {
			t.Errorf("%d of %d overlap", overlapping, n)
		}
		if d := r.metric("cut_after").Distribution; d.Min < int64(90*ms) || d.P50 > int64(200*ms) {
			t.Errorf("given up after %v to %v", time.Duration(d.Min), time.Duration(d.P50))
		}
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		r := runRetry(t, by(scenario.BackoffFull).start(t), retryWorkload(scenario.BackoffFull, scenario.Reply{Reset: true}, scenario.Reply{Status: 200}))
		n := r.arrivals()
		r.counts(map[string]int64{"succeeded": n, "resolved": n, "retries": n, "waits_conforming": n})
	})
}

// A target with an upstream of its own names requests in a header.
func TestRetryCorrelation(t *testing.T) {
	w := retryWorkload(scenario.BackoffFull, statuses(503, 200)...)
	w.Request.Headers["X-Upstream"] = "{{ .Sink }}/api/v1/messages"
	w.Request.Headers["X-Request-Id"] = "{{ .ID }}"
	w.Upstream.Correlate = &scenario.Correlation{Header: "X-Request-Id"}
	target := by(scenario.BackoffFull)
	t.Run("handed on", func(t *testing.T) {
		t.Parallel()
		target := target
		target.named = func(r, up *http.Request) { up.Header.Set("X-Request-Id", r.Header.Get("X-Request-Id")) }
		r := runRetry(t, target.start(t), w)
		n := r.arrivals()
		r.counts(map[string]int64{"succeeded": n, "resolved": n, "attempts_total": 2 * n})
	})
	t.Run("not handed on", func(t *testing.T) {
		t.Parallel()
		r := runRetry(t, target.start(t), w)
		n := r.arrivals()
		r.counts(map[string]int64{"unattempted": n, "strangers": 3 * n, "attempts_total": 0}) // each call is a first one
		if e := r.Errors[0]; e.Class != classUnrelated || e.Count != 3*n || !strings.Contains(e.Example, "upstream.correlate") {
			t.Errorf("errors %+v", r.Errors)
		}
	})
}
