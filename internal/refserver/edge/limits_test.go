package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// spin uses up CPU time in an invocation.
func spin(inv *Invocation, want time.Duration) error {
	x := uint64(1)
	before := inv.CPU()
	return inv.Compute(func() bool {
		for range 100_000 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		return x != 0 && inv.CPU()-before < want
	})
}

// spinner burns the CPU time that the query names; its task, that of ?task=.
func spinner(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		inv := InvocationOf(r.Context())
		query := r.URL.Query()
		if text := query.Get("task"); text != "" {
			d, _ := time.ParseDuration(text)
			if err := inv.WaitUntil(func(ctx context.Context) { _ = spin(InvocationOf(ctx), d) }); err != nil {
				t.Error(err)
			}
		}
		d, _ := time.ParseDuration(query.Get("cpu"))
		if err := spin(inv, d); err != nil {
			<-r.Context().Done() // where the task met the limit, it comes a moment later
			if !errors.Is(context.Cause(r.Context()), err) {
				t.Errorf("told %v by Compute and %v by the context", err, context.Cause(r.Context()))
			}
			return
		}
		_, _ = io.WriteString(w, "done")
	}
}

func TestCPUOfTheGuideIsEachInvocations(t *testing.T) {
	s, ledger := one(t, Options{Limits: limitsOf(t, "guide")}, handler(spinner(t)))
	for range 3 { // 900 ms in the same worker
		if r := call(s, "f?cpu=300ms"); r.Code != 200 {
			t.Errorf("300 ms: %d %s", r.Code, r.Body)
		}
	}
	if r := call(s, "f?cpu=2s"); r.Code != 546 || r.code() != CodeResourceLimit {
		t.Errorf("2 s: %d %s", r.Code, r.code())
	}
	used := s.Stats()[0].CPUSeconds
	if used < 1.3 || used > 1.5 {
		t.Errorf("charged %.3f s, want 3 × 0.3 + 0.4", used)
	}
	if all := events(ledger); all[len(all)-1] != "1 killed: cpu" {
		t.Errorf("%v", all)
	}
	// waitUntil frees the client, not the budget: answered, and killed with its task.
	if r := call(s, "f?cpu=250ms&task=2s"); r.Code != 200 && r.Code != 546 {
		t.Errorf("with a task: %d", r.Code)
	}
	_ = s.Terminate(t.Context())
	if st := s.Stats()[0]; st.Killed[ReasonCPU] != 2 || st.TasksLost != 1 || st.TasksSettled != 0 {
		t.Errorf("%+v", st)
	}
}

func TestCPUOfThePlatform(t *testing.T) {
	s, ledger := one(t, Options{Limits: limitsOf(t, "supabase-free")}, handler(spinner(t)))
	if r := call(s, "f?cpu=600ms"); r.Code != 200 {
		t.Errorf("600 ms: %d", r.Code)
	}
	if r := call(s, "f?cpu=600ms"); r.Code != 200 { // past the soft limit: answered, and the worker dropped
		t.Errorf("600 ms more: %d", r.Code)
	}
	start := time.Now()
	if r := call(s, "f?cpu=3s"); r.Code != 546 || r.code() != CodeResourceLimit || time.Since(start) < 1950*time.Millisecond {
		t.Errorf("3 s: %d %s after %s", r.Code, r.code(), time.Since(start))
	}
	want := []string{
		"1 booted", "1 retired: the soft limit of CPU time was reached", "1 beforeunload: early_drop", "1 early_drop: the soft limit of CPU time was reached",
		"2 booted", "2 retired: the soft limit of CPU time was reached", "2 beforeunload: cpu", "2 killed: cpu",
	}
	if got := events(ledger); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	if used := s.Stats()[0].CPUSeconds; used < 3.15 || used > 3.4 {
		t.Errorf("charged %.3f s, want 2 × 0.6 + 2", used)
	}
}

func TestOthersAreNotCharged(t *testing.T) {
	s, _ := one(t, Options{}, handler(spinner(t)))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 { // a busy machine
		wg.Go(func() {
			for x := 0; ; x++ {
				if x%1000 == 0 {
					select {
					case <-stop:
						return
					default:
					}
				}
			}
		})
	}
	start := time.Now()
	call(s, "f?cpu=100ms")
	took := time.Since(start)
	close(stop)
	wg.Wait()
	if used := s.Stats()[0].CPUSeconds; used < 0.1 || used > 0.15 || took.Seconds() < used*0.99 {
		t.Errorf("charged %.3f s in %s", used, took)
	}
}

// holder holds the memory that the query names until the request ends.
func holder(hold <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		inv := InvocationOf(r.Context())
		for range strings.Count(r.URL.RawQuery, "x") {
			if err := inv.Hold(10 * MB); err != nil {
				_, _ = io.WriteString(w, "too late")
				return
			}
		}
		if strings.HasSuffix(r.URL.RawQuery, "wait") {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	}
}

func TestMemory(t *testing.T) {
	for _, tc := range []struct {
		profile string
		most    int // times 10 MB
	}{{"guide", 15}, {"supabase-free", 25}, {"supabase-pro", 25}} {
		hold := make(chan struct{})
		s, ledger := one(t, Options{Limits: limitsOf(t, tc.profile)}, handler(holder(hold)))
		for range 3 {
			if r := call(s, "f?"+strings.Repeat("x", tc.most)); r.Code != 200 {
				t.Errorf("%s: %d0 MB: %d", tc.profile, tc.most, r.Code)
			}
		}
		if r := call(s, "f?"+strings.Repeat("x", tc.most+1)); r.Code != 546 || r.code() != CodeResourceLimit {
			t.Errorf("%s: %d0 MB: %d %s %s", tc.profile, tc.most+1, r.Code, r.code(), r.Body)
		}
		if all := events(ledger); !strings.HasSuffix(all[len(all)-1], "killed: memory") {
			t.Errorf("%s: %v", tc.profile, all)
		}
		close(hold)
	}
}

func TestMemoryOfTheWorkerIsShared(t *testing.T) {
	s, _ := one(t, Options{Limits: limitsOf(t, "supabase-free")}, handler(holder(nil)))
	var first reply
	var wg sync.WaitGroup
	wg.Go(func() { first = call(s, "f?xxxxxxxxxxxxxwait") })
	for s.Stats()[0].RequestsNow == 0 || s.Stats()[0].Workers[0].Memory < 130*MB {
		time.Sleep(time.Millisecond)
	}
	second := call(s, "f?xxxxxxxxxxxxx")
	wg.Wait()
	if first.Code != 546 || second.Code != 546 || s.Stats()[0].RequestsKilled != 2 {
		t.Errorf("%d and %d: %+v", first.Code, second.Code, s.Stats()[0])
	}
}

func TestResponseSize(t *testing.T) {
	var failure error
	s, _ := one(t, Options{Limits: limitsOf(t, "guide")}, handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Own", "1")
		w.WriteHeader(http.StatusCreated)
		chunk := strings.Repeat("x", MB)
		failure = nil
		for i := range 7 {
			if i == 6 && r.URL.RawQuery == "small" {
				return
			}
			if i == 1 && r.URL.RawQuery == "stream" {
				_ = http.NewResponseController(w).Flush()
			}
			if _, err := io.WriteString(w, chunk); err != nil {
				failure = err
				return
			}
		}
	}))
	if r := call(s, "f?small"); r.Code != 201 || r.Body.Len() != 6*MB || r.Header().Get("Content-Length") != "6291456" {
		t.Errorf("6 MB: %d with %d bytes, %v", r.Code, r.Body.Len(), r.Header())
	}
	if r := call(s, "f?big"); r.Code != 546 || r.code() != CodeWorkerLimit || r.Header().Get("X-Own") != "" || r.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("7 MB: %d %s %v", r.Code, r.code(), r.Header())
	}
	if size := new(sizeError); !errors.As(failure, size) {
		t.Errorf("its function was told %v", failure)
	}
	if r := call(s, "f?stream"); r.Code != 201 || r.Body.Len() != 7*MB || r.cut {
		t.Errorf("streamed: %d with %d bytes", r.Code, r.Body.Len())
	}
	if st := s.Stats()[0]; st.TooBig != 1 || len(st.Workers) != 1 || st.Workers[0].Memory != 0 {
		t.Errorf("%+v", st)
	}
}

func TestBufferedAnswersTakeMemory(t *testing.T) {
	s, _ := one(t, Options{Limits: Limits{Memory: MB}}, handler(func(w http.ResponseWriter, r *http.Request) {
		for range 20 {
			if _, err := io.WriteString(w, strings.Repeat("x", 100<<10)); err != nil {
				return
			}
		}
	}))
	if r := call(s, "f"); r.Code != 546 || r.code() != CodeResourceLimit || r.Body.Len() > 200 {
		t.Errorf("%d %s with %d bytes", r.Code, r.code(), r.Body.Len())
	}
}

func TestFunctionsOwn5xxHasItsCode(t *testing.T) {
	for _, limits := range []Limits{{}, limitsOf(t, "guide")} {
		s, _ := one(t, Options{Limits: limits}, handler(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }))
		if r := call(s, "f"); r.Code != 503 || r.code() != CodeFunctionError {
			t.Errorf("%d %s", r.Code, r.code())
		}
	}
}

func TestProfilesAndChecks(t *testing.T) {
	for _, p := range Profiles() {
		got, err := ParseProfile(p.Name)
		if err != nil || got != p || p.About == "" || p.Limits.Check() != nil {
			t.Errorf("%s: %+v, %v, %v", p.Name, got, err, p.Limits.Check())
		}
	}
	if Profiles()[0].Limits != (Limits{}) {
		t.Error("the default limits something")
	}
	if _, err := ParseProfile("enterprise"); err == nil || !strings.Contains(err.Error(), "guide, supabase-free") {
		t.Errorf("%v", err)
	}
	err := Limits{Policy: 9, CPUSoft: 2, CPU: 1, Memory: -1, ResponseBytes: -1, WallClock: -1, RequestIdle: -1, RequestWait: -1}.Check()
	for _, want := range []string{"policy", "soft limit", "memory", "response", "wall clock", "idle", "wait"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
	var policy Policy
	for _, name := range policyNames {
		if err := policy.UnmarshalText([]byte(name)); err != nil || policy.String() != name {
			t.Errorf("%s: %v, %v", name, policy, err)
		}
	}
	if err := policy.UnmarshalText([]byte("per_day")); err == nil {
		t.Error("per_day is a policy")
	}
}
