package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// counter is a Metrics in memory. update, if any, is asked before it counts.
type counter struct {
	mu     sync.Mutex
	jobs   map[string]string // event by job
	update func(ctx context.Context, job string) error
}

func (c *counter) UpdateUserMetrics(ctx context.Context, userID, event, jobID string) error {
	if c.update != nil {
		if err := c.update(ctx, jobID); err != nil {
			return err
		}
	}
	c.count(userID, event, jobID)
	return nil
}

func (c *counter) count(userID, event, jobID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs == nil {
		c.jobs = make(map[string]string)
	}
	c.jobs[jobID] = userID + " " + event
}

func (c *counter) HasJob(_ context.Context, jobID string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.jobs[jobID]
	return ok, nil
}

// tracker is track-event on a server of its own.
type tracker struct {
	*TrackEvent
	url     string
	ledger  *truth.Ledger
	metrics *counter
}

func serveTrack(t testing.TB, o edge.Options, track TrackEventOptions) tracker {
	t.Helper()
	ledger, metrics := truth.New(0), new(counter)
	if c, ok := track.Metrics.(*counter); ok {
		metrics = c
	}
	policy := retry.Policy{Kind: retry.Full, Attempts: 3, Base: time.Millisecond, Cap: time.Millisecond}
	track.Metrics, track.Ledger, track.Policy = metrics, ledger, &policy
	track.Retrier = &Retrier{Outbound: newTestOutbound(t, OutboundOptions{}), Ledger: ledger}
	fn := NewTrackEvent(track)
	o.Functions, o.Ledger = []edge.Function{edge.Shared(NameTrackEvent, fn)}, ledger
	return tracker{fn, serveFunctions(t, o) + NameTrackEvent, ledger, metrics}
}

// queue queues a job and returns its id.
func (k tracker) queue(t testing.TB, body string) string {
	t.Helper()
	resp, answer := postJSON(t, k.url, body)
	if resp.StatusCode != 200 || string(answer) != `{"queued":true}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %v", resp.StatusCode, answer, resp.Header)
	}
	return resp.Header.Get(wire.HeaderJobID)
}

// events waits until the job has the event last, and returns all of its events.
func (k tracker) events(t testing.TB, id, last string) (events []string, all []truth.Record) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		events, all = nil, nil
		for _, r := range records(t, k.ledger, truth.Job) {
			if r.ID == id {
				events, all = append(events, r.Event), append(all, r)
			}
		}
		if len(events) > 0 && events[len(events)-1] == last {
			return events, all
		}
		if time.Now().After(deadline) {
			t.Fatalf("job %s: %v, want %s at the end", id, events, last)
		}
	}
}

// inbox is a server that keeps what is posted to it.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	jobs   []string
}

func newInbox(t testing.TB, statuses ...int) *inbox {
	in := new(inbox)
	in.Server = upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s, %v, %v", r.Method, r.Header, err)
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		in.bodies, in.jobs = append(in.bodies, string(body)), append(in.jobs, r.Header.Get(wire.HeaderJobID))
		w.WriteHeader(append(statuses, 200)[min(len(in.bodies), len(statuses)+1)-1])
	})
	return in
}

func (in *inbox) got() (bodies, jobs []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.bodies), slices.Clone(in.jobs)
}

const ada = `{"user_id": "ada", "event_type": "signup"`

func TestTrackEventDoesTheGuidesPipeline(t *testing.T) {
	webhook, callback := newInbox(t, 503), newInbox(t)
	k := serveTrack(t, edge.Options{}, TrackEventOptions{Webhook: mustURL(t, webhook.URL+"/services/secret")})
	id := k.queue(t, ada+`, "callback_url": "`+callback.URL+`"}`)
	events, all := k.events(t, id, "callback_sent")
	if got := strings.Join(events, " "); got != "queued started metrics_updated webhook_sent completed callback_sent" {
		t.Errorf("ground truth has %s", got)
	}
	if k.metrics.jobs[id] != "ada signup" {
		t.Errorf("counted %v", k.metrics.jobs)
	}
	bodies, jobs := webhook.got()
	if want := `{"text":"User ada triggered signup"}`; len(bodies) != 2 || bodies[0] != want || bodies[1] != want || jobs[1] != id {
		t.Errorf("the webhook got %q for %q, want it twice, since the first was refused", bodies, jobs)
	}
	bodies, jobs = callback.got()
	var report jobReport
	if len(bodies) != 1 || jobs[0] != id {
		t.Fatalf("the callback got %q for %q", bodies, jobs)
	}
	if err := json.Unmarshal([]byte(bodies[0]), &report); err != nil || report.ID != id || report.Status != "completed" || report.Error != "" {
		t.Errorf("the callback got %+v, %v", report, err)
	}
	if !report.QueuedAt.Equal(all[0].At) || report.StartedAt.Before(report.QueuedAt) || report.CompletedAt.Before(report.StartedAt) || all[0].Detail != "metrics webhook callback" {
		t.Errorf("the callback got %+v, ground truth has %+v", report, all[0])
	}

	var tries []string
	for _, r := range records(t, k.ledger, truth.Retry) {
		tries = append(tries, strings.TrimPrefix(r.ID, id)+" "+r.Event)
		if strings.Contains(r.Detail, "secret") {
			t.Errorf("the webhook's path is in ground truth: %+v", r)
		}
	}
	if got := strings.Join(tries, ", "); got != "/webhook attempt, /webhook retry, /webhook answered, /callback attempt, /callback answered" {
		t.Errorf("ground truth has %s", got)
	}
}

// TestTrackEventAnswersFirst: the answer does not wait for the pipeline, and whoever
// has the answer finds the job in ground truth.
func TestTrackEventAnswersFirst(t *testing.T) {
	release := make(chan struct{})
	k := serveTrack(t, edge.Options{}, TrackEventOptions{Metrics: &counter{update: func(context.Context, string) error { <-release; return nil }}})
	id := k.queue(t, ada+`, "id": "job-1"}`)
	if id != "job-1" {
		t.Errorf("the job is %q", id)
	}
	found := false
	for _, r := range records(t, k.ledger, truth.Job) {
		found = found || r.ID == id && r.Event == "queued"
	}
	if !found || k.Pending() != 1 {
		t.Errorf("answered, and queued in ground truth: %t; %d pending", found, k.Pending())
	}
	close(release)
	if events, _ := k.events(t, id, "completed"); strings.Join(events, " ") != "queued started metrics_updated completed" {
		t.Errorf("ground truth has %v", events)
	}
	for deadline := time.Now().Add(5 * time.Second); k.Pending() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d pending", k.Pending())
		}
	}
}

func TestTrackEventFailures(t *testing.T) {
	t.Run("metrics", func(t *testing.T) {
		webhook, callback := newInbox(t), newInbox(t)
		k := serveTrack(t, edge.Options{}, TrackEventOptions{Metrics: &counter{update: func(context.Context, string) error { return errors.New("disk is full") }}})
		id := k.queue(t, ada+`, "webhook_url": "`+webhook.URL+`", "callback_url": "`+callback.URL+`"}`)
		events, all := k.events(t, id, "callback_sent")
		if strings.Join(events, " ") != "queued started failed callback_sent" || !strings.Contains(all[2].Detail, "disk is full") {
			t.Errorf("ground truth has %+v", all)
		}
		if bodies, _ := webhook.got(); len(bodies) != 0 {
			t.Errorf("the webhook got %q", bodies)
		}
		if bodies, _ := callback.got(); len(bodies) != 1 || !strings.Contains(bodies[0], `"status":"failed","error":"update the metrics: disk is full"`) {
			t.Errorf("the callback got %q", bodies)
		}
	})
	t.Run("webhook", func(t *testing.T) {
		webhook := newInbox(t, 500, 500, 500, 500)
		k := serveTrack(t, edge.Options{}, TrackEventOptions{})
		id := k.queue(t, ada+`, "webhook_url": "`+webhook.URL+`/secret"}`)
		events, all := k.events(t, id, "failed")
		if strings.Join(events, " ") != "queued started metrics_updated failed" || !strings.HasSuffix(all[3].Detail, "answered 500 after 3 attempts") || strings.Contains(all[3].Detail, "secret") {
			t.Errorf("ground truth has %+v", all)
		}
	})
	t.Run("callback", func(t *testing.T) {
		callback := newInbox(t, 404)
		k := serveTrack(t, edge.Options{}, TrackEventOptions{})
		id := k.queue(t, ada+`, "callback_url": "`+callback.URL+`"}`)
		if events, _ := k.events(t, id, "callback_failed"); strings.Join(events, " ") != "queued started metrics_updated completed callback_failed" {
			t.Errorf("ground truth has %v", events)
		}
	})
}

func TestTrackEventIsBounded(t *testing.T) {
	for name, o := range map[string]struct {
		edge  edge.Options
		track TrackEventOptions
	}{
		"by the process": {track: TrackEventOptions{MaxPending: 3}, edge: edge.Options{Workers: 2}},
		"by the worker":  {edge: edge.Options{MaxTasks: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			o.track.Metrics = &counter{update: func(context.Context, string) error { <-release; return nil }}
			k := serveTrack(t, o.edge, o.track)
			for range 3 {
				k.queue(t, ada+`}`)
			}
			for range 2 {
				resp, body := postJSON(t, k.url, ada+`}`)
				if resp.StatusCode != 503 || resp.Header.Get(edge.HeaderErrorCode) != edge.CodeFunctionError || resp.Header.Get("Retry-After") != "1" || !strings.Contains(string(body), "too many background tasks") {
					t.Errorf("%d %s %v", resp.StatusCode, body, resp.Header)
				}
			}
			if k.Pending() != 3 {
				t.Errorf("%d pending", k.Pending())
			}
			close(release)
			for deadline := time.Now().Add(5 * time.Second); k.Pending() > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			}
			k.queue(t, ada+`}`) // there is room again
			counts := make(map[string]uint64)
			for _, c := range k.ledger.Counts() {
				if c.Kind == truth.Job {
					counts[c.Event] = c.Count
				}
			}
			if counts["queued"] != 4 || counts["refused"] != 2 {
				t.Errorf("ground truth has %v", counts)
			}
		})
	}
}

// TestTrackEventLosesWhatTheWorkerTakesAlong meets the limits on purpose.
func TestTrackEventLosesWhatTheWorkerTakesAlong(t *testing.T) {
	t.Run("wall clock", func(t *testing.T) {
		callback := newInbox(t)
		k := serveTrack(t, edge.Options{Limits: edge.Limits{WallClock: 300 * time.Millisecond}}, TrackEventOptions{})
		lost := k.queue(t, ada+`, "work": {"sleep": "1h"}, "callback_url": "`+callback.URL+`"}`)
		quick := k.queue(t, ada+`, "work": {"sleep": "1ms"}}`)
		events, all := k.events(t, lost, "lost")
		if strings.Join(events, " ") != "queued started lost" || !strings.Contains(all[2].Detail, "wall_clock") {
			t.Errorf("ground truth has %+v", all)
		}
		k.events(t, quick, "completed")
		if bodies, _ := callback.got(); len(bodies) != 0 {
			t.Errorf("a lost job called back: %q", bodies)
		}
	})
	t.Run("CPU time", func(t *testing.T) {
		k := serveTrack(t, edge.Options{Limits: edge.Limits{CPU: 30 * time.Millisecond}}, TrackEventOptions{})
		done := k.queue(t, ada+`, "work": {"cpu": "5ms"}}`)
		k.events(t, done, "completed")
		lost := k.queue(t, ada+`, "work": {"cpu": "1m"}}`)
		if _, all := k.events(t, lost, "lost"); !strings.Contains(all[len(all)-1].Detail, "cpu") {
			t.Errorf("ground truth has %+v", all)
		}
	})
	t.Run("within the update", func(t *testing.T) {
		for name, tc := range map[string]struct {
			update func(c *counter, ctx context.Context, job string) error
			want   string
		}{
			"written after the end": {func(c *counter, ctx context.Context, _ string) error {
				time.Sleep(150 * time.Millisecond)
				return ctx.Err()
			}, "completed"},
			"stuck": {func(_ *counter, ctx context.Context, _ string) error {
				<-ctx.Done()
				return ctx.Err()
			}, "lost"},
			"stuck, and written": {func(c *counter, ctx context.Context, job string) error {
				<-ctx.Done()
				c.count("ada", "signup", job)
				return ctx.Err()
			}, "completed"},
		} {
			metrics := new(counter)
			metrics.update = func(ctx context.Context, job string) error { return tc.update(metrics, ctx, job) }
			k := serveTrack(t, edge.Options{Limits: edge.Limits{WallClock: 50 * time.Millisecond}}, TrackEventOptions{Metrics: metrics})
			k.grace = 300 * time.Millisecond
			id := k.queue(t, ada+`}`)
			_, all := k.events(t, id, tc.want)
			if has := metrics.jobs[id] != ""; has != (tc.want == "completed") {
				t.Errorf("%s: counted %t, and ground truth has %+v", name, has, all)
			}
		}
	})
	t.Run("within the webhook", func(t *testing.T) {
		stalling := upstreamOf(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // so that the end is noticed
			<-r.Context().Done()
		})
		k := serveTrack(t, edge.Options{Limits: edge.Limits{WallClock: 50 * time.Millisecond}}, TrackEventOptions{})
		id := k.queue(t, ada+`, "webhook_url": "`+stalling.URL+`"}`)
		if events, _ := k.events(t, id, "lost"); strings.Join(events, " ") != "queued started metrics_updated lost" {
			t.Errorf("ground truth has %v", events)
		}
	})
}

func TestTrackEventRejects(t *testing.T) {
	k := serveTrack(t, edge.Options{}, TrackEventOptions{})
	for _, tc := range []struct {
		body   string
		status int
		wants  []string
	}{
		{``, 400, []string{"JSON"}},
		{`{}`, 400, []string{"user_id", "event_type"}},
		{`{"user_id": 7, "event_type": "x"}`, 400, []string{"user_id"}},
		{`{"user_id": "` + strings.Repeat("x", maxTrackText+1) + `", "event_type": "x"}`, 400, []string{"user_id"}},
		{`{"user_id": "a\u0000b", "event_type": "x"}`, 400, []string{"user_id", "none of them zero"}},
		{ada + `, "id": "a b"}`, 400, []string{"id:"}},
		{ada + `, "id": "` + strings.Repeat("x", maxJobID+1) + `"}`, 400, []string{"id:"}},
		{ada + `, "work": {"cpu": "-1s", "sleep": "2h"}}`, 400, []string{"work.cpu", "work.sleep"}},
		{ada + `, "work": {"cpu": "2m"}}`, 400, []string{"work.cpu"}},
		{ada + `, "work": {"sleep": 5}}`, 400, []string{"250ms"}},
		{ada + `, "webhook_url": "http://127.0.0.1/` + strings.Repeat("secret", maxTrackURL/6) + `"}`, 400, []string{"webhook_url"}},
		{ada + `, "callback_url": "http://127.0.0.1/` + strings.Repeat("secret", maxTrackURL/6) + `"}`, 400, []string{"callback_url"}},
		{ada + `, "webhook_url": "hooks/x"}`, 400, []string{"webhook_url"}},
		{ada + `, "webhook_url": "http://10.0.0.1/secret"}`, 403, []string{"webhook_url", "10.0.0.1"}},
		{ada + `, "callback_url": "http://example.com/secret"}`, 403, []string{"callback_url", "example.com"}},
	} {
		resp, body := postJSON(t, k.url, tc.body)
		if resp.StatusCode != tc.status || strings.Contains(string(body), "secret") {
			t.Errorf("%.80s: %d %s, want %d", tc.body, resp.StatusCode, body, tc.status)
		}
		for _, want := range tc.wants {
			if !strings.Contains(string(body), want) {
				t.Errorf("%.80s: %s, want %q in it", tc.body, body, want)
			}
		}
	}
	if got := records(t, k.ledger, truth.Job); len(got) != 0 {
		t.Errorf("what was rejected is in ground truth: %+v", got)
	}
}

// TestTrackEventUnderLoad: every job that was answered ends once, and the books
// agree, with a worker's life short enough to lose some.
func TestTrackEventUnderLoad(t *testing.T) {
	var n atomic.Int64
	metrics := &counter{update: func(ctx context.Context, _ string) error {
		if n.Add(1)%3 == 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	k := serveTrack(t, edge.Options{Workers: 4, Limits: edge.Limits{WallClock: 100 * time.Millisecond}}, TrackEventOptions{Metrics: metrics})
	k.grace = 10 * time.Millisecond
	var wg sync.WaitGroup
	var queued atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				body := fmt.Sprintf(`{"user_id": "u%d", "event_type": "click"}`, i%5)
				resp, err := http.Post(k.url, "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode == 200 {
					queued.Add(1)
				}
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(5 * time.Second); k.Pending() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d pending", k.Pending())
		}
	}
	ends := make(map[string]string)
	counts := make(map[string]int64)
	for _, r := range records(t, k.ledger, truth.Job) {
		counts[r.Event]++
		switch r.Event {
		case "completed", "lost", "failed":
			if before, twice := ends[r.ID]; twice {
				t.Errorf("job %s ended twice: %s, %s", r.ID, before, r.Event)
			}
			ends[r.ID] = r.Event
		}
	}
	if counts["queued"] != queued.Load() || counts["completed"]+counts["lost"] != counts["queued"] || counts["lost"] == 0 || counts["failed"] != 0 {
		t.Errorf("%d were answered; ground truth has %v", queued.Load(), counts)
	}
	for id, end := range ends {
		if _, has := metrics.jobs[id]; has != (end == "completed") {
			t.Errorf("job %s %s, and is counted: %t", id, end, has)
		}
	}
}
