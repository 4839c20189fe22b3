package result

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Kinds of load, for tests.
var (
	streams   = LoadKind{scenario.SSE, Plain}
	overTLS   = LoadKind{scenario.SSE, TLS}
	overHTTP2 = LoadKind{scenario.SSE, HTTP2}
	inRooms   = LoadKind{scenario.WebSocket, Plain}
)

func envelope() *Envelope {
	return &Envelope{
		Version: EnvelopeVersion, Written: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: ThisMachine(), Build: ThisBuild(), BoundNS: time.Millisecond, ReceiveSource: "kernel",
		Limits: []EnvelopeLimit{
			{Kind: streams, Busy: 2, InFlight: 1, EventsPerSecond: 1},
			{Kind: streams, InFlight: 100, EventsPerSecond: 2000},
			{Kind: inRooms, InFlight: 50, EventsPerSecond: 500},
			{Kind: overTLS, InFlight: 40, EventsPerSecond: 800},
			{Kind: overHTTP2, InFlight: 10, EventsPerSecond: 200},
		},
		Levels: []CalibrationLevel{{
			Kind: streams, InFlight: 100, EventsPerSecond: 2000, ITL: Spread{Samples: 5, P99NS: 7}, Validity: Validity{State: Valid},
		}},
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	want := envelope()
	path := filepath.Join(dir, EnvelopeName(want.Machine.Fingerprint))
	for range 2 { // the second replaces the first
		if err := WriteEnvelope(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := FindEnvelope(dir, want.Machine.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("beside the file: %v, %v", entries, err)
	}
	if e, err := FindEnvelope(dir, "another"); e != nil || err != nil {
		t.Errorf("no file gave %v, %v", e, err)
	}
	if _, err := ReadEnvelope(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file gave %v", err)
	}
}

func TestReadEnvelopeRefuses(t *testing.T) {
	for content, want := range map[string]string{
		"not json":      "not an envelope file",
		"{}":            "version 0",
		`{"version":1}`: "calibrate anew",
		`{"version":2}`: "no machine",
		`{"version":2,"machine":{"fingerprint":"x"},"bound_ns":1,"limits":[{"protocol":"sse","in_flight":-1}]}`: "below 0",
	} {
		path := filepath.Join(t.TempDir(), "e.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadEnvelope(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", content, err, want)
		}
	}
}

// loaded is a run of ten seconds with the given streams, connections and events a second.
func loaded(streams, chunks, connections, deliveries float64) *Result {
	r := healthy()
	r.Health.ReceiveSource = "kernel"
	r.Scenario = &scenario.Scenario{Target: "http://127.0.0.1:8080", Duration: scenario.Duration(10 * time.Second)}
	counter := func(name string, v float64) Metric { return Metric{Name: name, Kind: Counter, Unit: One, Value: v} }
	r.Workloads = []Workload{
		{Name: "a", Protocol: scenario.SSE, InFlight: InFlight{Looked: streams / 2}, Metrics: []Metric{counter("chunks", 5*chunks)}},
		{Name: "b", Protocol: scenario.SSE, InFlight: InFlight{Looked: streams / 2}, Metrics: []Metric{counter("chunks", 5*chunks)}},
		{Name: "c", Protocol: scenario.WebSocket, InFlight: InFlight{Looked: connections}, Metrics: []Metric{counter("received", 10*deliveries)}},
	}
	return r
}

func TestEnvelopeCheck(t *testing.T) {
	for _, tc := range []struct {
		name   string
		r      *Result
		detail []string // one for each reason
	}{
		{"nothing", loaded(0, 0, 0, 0), nil},
		{"inside", loaded(50, 1000, 20, 200), nil},
		{"at a limit, give or take", loaded(101, 2010, 0, 0), nil},
		{"too many chunks", loaded(50, 4000, 0, 0), []string{"4,000 chunks/s, beyond the 100 at 2,000"}},
		{"too many streams", loaded(150, 100, 0, 0), []string{"150 streams"}},
		{"too many of both", loaded(150, 100, 60, 10), []string{"150 streams", "60 connections in rooms at 10 deliveries/s"}},
		{"together", loaded(70, 1000, 35, 10), []string{"streams and rooms together took 140%"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reasons := envelope().Check(tc.r)
			if len(reasons) != len(tc.detail) {
				t.Fatalf("%+v, want %d", reasons, len(tc.detail))
			}
			for i, reason := range reasons {
				if reason.State != Degraded || reason.Check != "envelope" || reason.Remedy == "" || !strings.Contains(reason.Detail, tc.detail[i]) {
					t.Errorf("%+v, want %q", reason, tc.detail[i])
				}
			}
		})
	}
}

// TLS and HTTP/2 have limits of their own. What a stream came over is counted;
// whether it was TLS stands in the target, or in a path that leads elsewhere.
func TestEnvelopeOfOtherTransports(t *testing.T) {
	over := func(r *Result, spoil func(*Result)) *Result { spoil(r); return r }
	https := func(r *Result) { r.Scenario.Target = "https://127.0.0.1:8443" }
	for _, tc := range []struct {
		name   string
		r      *Result
		detail string // empty for none
	}{
		{"TLS, inside", over(loaded(40, 800, 0, 0), https), ""},
		{"TLS, beyond its own though not beyond the plain one", over(loaded(80, 1600, 0, 0), https), "80 streams over TLS at 1,600 chunks/s, beyond the 40 at 800"},
		{"HTTP/2", over(loaded(20, 400, 0, 0), func(r *Result) {
			https(r)
			for i := range r.Workloads[:2] {
				r.Workloads[i].Metrics = append(r.Workloads[i].Metrics, Metric{Name: "http2", Kind: Counter, Value: 1})
			}
		}), "20 streams over HTTP/2"},
		{"rooms over TLS, which were not calibrated", over(loaded(0, 0, 900, 9000), https), ""},
		{"a path of its own", over(loaded(80, 1600, 0, 0), func(r *Result) {
			elsewhere := &scenario.Workload{Request: &scenario.Request{Path: "https://elsewhere.example/stream"}}
			r.Scenario.Workloads = map[string]*scenario.Workload{"a": elsewhere, "b": elsewhere}
		}), "80 streams over TLS"},
	} {
		got := envelope().Check(tc.r)
		if tc.detail == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || tc.detail == "" || !strings.Contains(got[0].Detail, tc.detail) {
			t.Errorf("%s: %+v, want %q", tc.name, got, tc.detail)
		}
	}
}

func TestEnvelopeOfLevelsThatDidNotHold(t *testing.T) {
	e := envelope()
	e.Limits[1] = EnvelopeLimit{Kind: streams}
	if got := e.Check(loaded(1, 1, 0, 0)); len(got) != 1 || !strings.Contains(got[0].Detail, "no calibrated level of streams") {
		t.Errorf("%+v", got)
	}
	if got := e.Check(loaded(0, 0, 1, 1)); len(got) != 0 {
		t.Errorf("rooms alone: %+v", got)
	}
	e.Limits = e.Limits[2:3]
	if got := e.Check(loaded(9999, 9999, 0, 0)); len(got) != 0 {
		t.Errorf("streams that were not calibrated: %+v", got)
	}
}

func TestEnvelopeOfAnotherReceiveSource(t *testing.T) {
	r := loaded(1, 1, 0, 0)
	r.Health.ReceiveSource = "read"
	if got := envelope().Check(r); len(got) != 1 || !strings.Contains(got[0].Detail, `"read" and this machine was calibrated with "kernel"`) {
		t.Errorf("%+v", got)
	}
}

// An interrupted run is judged by the time it had.
func TestEnvelopeOfAnInterruptedRun(t *testing.T) {
	r := loaded(10, 1000, 0, 0)
	r.Interrupted, r.ElapsedNS = true, 2*time.Second
	if got := envelope().Check(r); len(got) != 1 || !strings.Contains(got[0].Detail, "5,000 chunks/s") {
		t.Errorf("%+v", got)
	}
}

func TestValidityWith(t *testing.T) {
	degraded := Reason{State: Degraded, Check: "envelope"}
	if v := (Validity{State: Valid}).With(); v.State != Valid || len(v.Reasons) != 0 {
		t.Errorf("%+v", v)
	}
	if v := (Validity{State: Valid}).With(degraded); v.State != Degraded || len(v.Reasons) != 1 {
		t.Errorf("%+v", v)
	}
	bad := Validity{State: Invalid, Reasons: []Reason{{State: Invalid, Check: "lateness"}}}
	if v := bad.With(degraded); v.State != Invalid || len(v.Reasons) != 2 || v.Reasons[0].Check != "lateness" || len(bad.Reasons) != 1 {
		t.Errorf("%+v from %+v", v, bad)
	}
}
