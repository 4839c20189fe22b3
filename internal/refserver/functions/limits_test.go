package functions

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/wire"
)

// limitsServer is the function behind the limits of a profile.
func limitsServer(t *testing.T, profile string, change func(*edge.Options)) *edge.Server {
	t.Helper()
	p, err := edge.ParseProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	opts := edge.Options{Functions: []edge.Function{edge.Shared(NameLimits, Limits(slog.New(slog.DiscardHandler)))}, Limits: p.Limits}
	if change != nil {
		change(&opts)
	}
	s := edge.New(opts)
	t.Cleanup(func() { _ = s.Close() }) // says what it cut
	return s
}

func askLimits(h http.Handler, body string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, wire.PathLimits, strings.NewReader(body)))
	return rec
}

func TestEachLimitOfEachProfileIsMet(t *testing.T) {
	for _, tc := range []struct {
		profile, body string
		status        int
		code          string
		bytes         int // of the answer; 0: any
	}{
		{"guide", `{"cpu": "300ms", "memory": "149MB"}`, 200, "", 0},
		{"guide", `{"memory": "150MB", "stream": true}`, 200, "", 1},
		{"guide", `{"memory": "150MB"}`, 546, edge.CodeResourceLimit, 0}, // with the answer
		{"guide", `{"cpu": "500ms"}`, 546, edge.CodeResourceLimit, 0},
		{"guide", `{"memory": "151MB"}`, 546, edge.CodeResourceLimit, 0},
		{"guide", `{"body": "6MB"}`, 200, "", 6 << 20},
		{"guide", `{"body": "7MB"}`, 546, edge.CodeWorkerLimit, 0},
		{"guide", `{"body": "7MB", "stream": true}`, 200, "", 7 << 20},
		{"guide", `{"status": 503}`, 503, edge.CodeFunctionError, 0},
		{"supabase-free", `{"cpu": "500ms", "memory": "200MB", "body": "20MB"}`, 200, "", 20 << 20},
		{"supabase-free", `{"memory": "250MB", "body": "64MB"}`, 546, edge.CodeResourceLimit, 0}, // together above 256MB
		{"supabase-free", `{"memory": "256MB", "body": "64MB", "stream": true}`, 200, "", 1 + 64<<20},
		{"supabase-free", `{"cpu": "2100ms"}`, 546, edge.CodeResourceLimit, 0},
		{"supabase-pro", `{"memory": "257MB"}`, 546, edge.CodeResourceLimit, 0},
		{"unlimited", `{"cpu": "500ms", "memory": "300MB", "body": "7MB"}`, 200, "", 7 << 20},
	} {
		rec := askLimits(limitsServer(t, tc.profile, nil), tc.body)
		if rec.Code != tc.status || rec.Header().Get(edge.HeaderErrorCode) != tc.code || tc.bytes > 0 && rec.Body.Len() != tc.bytes {
			t.Errorf("%s %s: %d %s with %d bytes", tc.profile, tc.body, rec.Code, rec.Header().Get(edge.HeaderErrorCode), rec.Body.Len())
		}
	}
}

func TestLimitsOfTimeAreMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limitsServer(t, "supabase-free", nil)
		start := time.Now()
		rec := askLimits(s, `{"sleep": "151s"}`) // the worker's wall clock is 150 s too, from the boot just before
		if rec.Code != 504 && rec.Code != 546 || time.Since(start) != 150*time.Second {
			t.Errorf("151 s: %d after %s", rec.Code, time.Since(start))
		}
		rec = askLimits(s, `{"sleep": "74s"}`)
		var report limitsReport
		if err := json.Unmarshal(rec.Body.Bytes(), &report); err != nil || report.Sleep != "1m14s" || rec.Code != 200 {
			t.Errorf("74 s: %d %s", rec.Code, rec.Body)
		}
		askLimits(s, `{"wait_until": {"sleep": "5m"}}`) // lost at the wall clock
		askLimits(s, `{"wait_until": {"sleep": "5s"}}`)
		time.Sleep(150 * time.Second)
		if st := s.Stats()[0]; st.TasksBegun != 2 || st.TasksSettled != 1 || st.TasksLost != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestLimitsMemoryIsGivenBack: all of it, and when the answer has ended, not before.
func TestLimitsMemoryIsGivenBack(t *testing.T) {
	inner := &limits{log: slog.New(slog.DiscardHandler)}
	s := edge.New(edge.Options{Functions: []edge.Function{edge.Shared(NameLimits, inner)}})
	t.Cleanup(func() { _ = s.Close() }) // says what it cut
	held := int64(-1)
	s.ServeHTTP(watchWrites{httptest.NewRecorder(), func() { held = inner.held.Load() }},
		httptest.NewRequest(http.MethodGet, wire.PathLimits+"?memory=3MB&body=1KB", nil))
	if held != 3<<20 {
		t.Errorf("%d bytes were held while the answer was written", held)
	}
	inner.held.Store(maxMemoryAll - 1<<20)
	if rec := askLimits(s, `{"memory": "2MB"}`); rec.Code != 503 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := askLimits(s, `{"memory": "1MB", "wait_until": {"cpu": "1ms"}}`); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	_ = s.Terminate(t.Context())
	if left := inner.held.Load(); left != maxMemoryAll-1<<20 {
		t.Errorf("%d bytes are held in the end", left)
	}
}

// watchWrites calls a function at each write.
type watchWrites struct {
	*httptest.ResponseRecorder
	wrote func()
}

func (w watchWrites) Write(b []byte) (int, error) {
	w.wrote()
	return w.ResponseRecorder.Write(b)
}

func TestWaitUntilMeetsTheWorkersLimits(t *testing.T) {
	s := limitsServer(t, "guide", nil)
	if rec := askLimits(s, `{"wait_until": {"cpu": "3s"}}`); rec.Code != 200 {
		t.Errorf("%d", rec.Code)
	}
	_ = s.Terminate(t.Context())
	if st := s.Stats()[0]; st.Killed[edge.ReasonCPU] != 1 || st.TasksLost != 1 || st.CPUSeconds > 0.5 {
		t.Errorf("%+v", st)
	}
}

func TestLimitsQueryAndStream(t *testing.T) {
	s := limitsServer(t, "unlimited", func(o *edge.Options) { o.MaxTasks = 1 })
	get := func(query string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, wire.PathLimits+"?"+query, nil))
		return rec
	}
	if rec := get("cpu=5ms&memory=1MB&sleep=1ms&stream=true&status=201&body=10B"); rec.Code != 201 || rec.Body.String() != "...xxxxxxxxxx" || !rec.Flushed {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
	rec := get("cpu=5ms&memory=64KB")
	var report limitsReport
	if err := json.Unmarshal(rec.Body.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	took, err := time.ParseDuration(report.CPU)
	if err != nil || took < 5*time.Millisecond || took > 50*time.Millisecond || report.Memory != 64<<10 || report.Worker != 1 {
		t.Errorf("%+v", report)
	}
	if rec := get("wait_until.sleep=10m"); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := get("wait_until.sleep=10m"); rec.Code != 503 || !strings.Contains(rec.Body.String(), "too many background tasks") {
		t.Errorf("one task too many: %d %s", rec.Code, rec.Body)
	}
}

func TestLimitsNamesTheFieldThatCannotBe(t *testing.T) {
	s := limitsServer(t, "unlimited", nil)
	for body, want := range map[string]string{
		`{"cpu": "fast"}`:                       "cpu: ",
		`{"cpu": 7}`:                            "cpu: ",
		`{"cpu": "11s"}`:                        "cpu: ",
		`{"cpu": "-1s"}`:                        "cpu: ",
		`{"memory": "1GB"}`:                     "memory: ",
		`{"memory": "513MB"}`:                   "memory: ",
		`{"sleep": "16m"}`:                      "sleep: ",
		`{"body": "65MB"}`:                      "body: ",
		`{"body": "99999999999999999999B"}`:     "body: ",
		`{"status": 700}`:                       "status: ",
		`{"status": "x"}`:                       "status: ",
		`{"stream": 7}`:                         "stream: ",
		`{"colour": "red"}`:                     "colour: ",
		`{"wait_until": 7}`:                     "wait_until: ",
		`{"wait_until": {"cpu": "11s"}}`:        "wait_until.cpu: ",
		`{"wait_until": {"body": "1B"}}`:        "wait_until.body: ",
		`{"cpu": "fast", "memory": "a lot"}`:    "memory: ",
		`{"sleep": "16m", "status": 1}`:         "status: ",
		`[]`:                                    "request body",
		`{"cpu": "1ms"`:                         "request body",
		`"` + strings.Repeat("x", 70<<10) + `"`: "request body",
	} {
		rec := askLimits(s, body)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%.60s: %d %s, want 400 with %q", body, rec.Code, rec.Body, want)
		}
	}
	if rec := askLimits(s, ""); rec.Code != 200 {
		t.Errorf("nothing: %d %s", rec.Code, rec.Body)
	}
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"1.5s", "0", "-2m", "1h1ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again duration
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q is %s, and that %s, %v", text, d, again, err)
		}
	})
}

func FuzzLimits(f *testing.F) {
	f.Add(`{"cpu": "1ms", "memory": "1MB", "sleep": "1ms", "body": "7B", "stream": true, "status": 200, "wait_until": {"cpu": "1ms"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, wire.PathLimits, io.NopCloser(strings.NewReader(body)))
		req, err := readLimits(httptest.NewRecorder(), r)
		if err == nil && (req.CPU > duration(maxBurn) || req.Memory > maxMemory || req.Status < 200 || req.Body < 0) {
			t.Errorf("%q asks for %+v", body, req)
		}
	})
}

// A function that computes stops with its request: the idle timeout is not late by
// what was left to compute.
func TestLimitsComputeNoLongerThanTheRequest(t *testing.T) {
	s := limitsServer(t, "unlimited", func(o *edge.Options) { o.Limits.RequestIdle = 200 * time.Millisecond })
	start := time.Now()
	rec := askLimits(s, `{"cpu": "8s"}`)
	if took := time.Since(start); rec.Code != 504 || took > 4*time.Second {
		t.Errorf("%d after %s, want 504 after 200 ms", rec.Code, took)
	}
}
