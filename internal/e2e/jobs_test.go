package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver of what the server has written
)

// How often, when and under what load the server is killed.
const (
	jobKills     = 50
	jobSeed      = 20261123
	jobClients   = 8
	jobPause     = 3 * time.Millisecond // of a client between two requests
	jobKillAfter = 100 * time.Millisecond
	jobKillUntil = 300 * time.Millisecond
)

// TestJobsSurviveSIGKILL kills the server under load, at random moments, and each
// time starts it again on the same SQLite file. Jobs are lost then, as on the
// platform. What must hold is that the store opens, that no counter is written by
// half, and that ground truth says of every job whether it was lost.
func TestJobsSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(jobSeed, 0))
	webhook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(webhook.Close)
	books := newJobBooks(t, filepath.Join(t.TempDir(), "store.db"))
	answered := 0
	for kill := range jobKills {
		s := startJobServer(t, books.file)
		books.check(t, s)
		after := jobKillAfter + time.Duration(draw.Int64N(int64(jobKillUntil-jobKillAfter)))
		ids := s.load(t, fmt.Sprint("kill-", kill), webhook.URL, after)
		books.promised = append(books.promised, ids...)
		answered += len(ids)
		if t.Failed() {
			t.Fatalf("at kill %d, after %s of load", kill+1, after)
		}
	}
	s := startJobServer(t, books.file)
	books.check(t, s)
	s.stop(t)
	completed, lost := books.ends["completed"], books.ends["lost"]
	t.Logf("%d kills: %d jobs answered as queued, %d queued, %d completed, %d lost", jobKills, answered, len(books.jobs), completed, lost)
	if lost == 0 || completed == 0 || len(books.jobs) < answered {
		t.Error("this shows nothing: kills took no job along, or no job was done")
	}
}

// jobServer is a reference-server with a database and ground truth on disk.
type jobServer struct {
	*server
	key string // of the service role
}

// jobSecret is what the keys of these servers are made of.
const jobSecret = "a secret that is for tests only, and long enough"

// startJobServer starts a server on a SQLite file, with its journal beside it.
func startJobServer(t *testing.T, file string) *jobServer {
	t.Helper()
	s := &jobServer{server: &server{log: new(bytes.Buffer)}, key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
	s.cmd = exec.Command(filepath.Join(bin, "reference-server"), "--listen", "127.0.0.1:0", "--store", file, "--jwt-secret", jobSecret, "--workers", "2", "--log-level", "error")
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // where the test has failed before
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("reference-server said %q, %v\n%s", line, err, s.log)
	}
	s.URL = url
	return s
}

// load puts jobs on the server, kills it after a while, and returns the ids of those
// that were answered as queued.
func (s *jobServer) load(t *testing.T, name, webhook string, after time.Duration) (answered []string) {
	t.Helper()
	var mu sync.Mutex
	var killed atomic.Bool
	var clients sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: jobClients}}
	defer client.CloseIdleConnections()
	for c := range jobClients {
		clients.Go(func() {
			for n := 0; !killed.Load(); n++ {
				id := fmt.Sprintf("%s-%d-%d", name, c, n)
				body := fmt.Sprintf(`{"user_id": "u%d", "event_type": "click", "id": %q`, n%17, id)
				switch n % 5 {
				case 1:
					body += `, "work": {"sleep": "30ms"}`
				case 2:
					body += `, "webhook_url": "` + webhook + `"`
				}
				resp, err := client.Post(s.URL+"/functions/v1/track-event", "application/json", strings.NewReader(body+"}"))
				if err != nil {
					if !killed.Load() {
						t.Errorf("the server does not answer, and was not killed: %v", err)
					}
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				} else if err == nil {
					mu.Lock()
					answered = append(answered, id)
					mu.Unlock()
				}
				time.Sleep(jobPause)
			}
		})
	}
	time.Sleep(after)
	killed.Store(true)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	_ = s.cmd.Wait() // it was killed
	return answered
}

// jobStory is what ground truth says of one job.
type jobStory struct {
	queued, completed, lost int
	webhook                 bool
}

// jobBooks are ground truth, as the server tells it, and the database, as it lies on
// disk.
type jobBooks struct {
	file     string
	promised []string // ids of jobs that were answered
	jobs     map[string]*jobStory
	ends     map[string]int
	next     uint64 // the record to ask for next
}

func newJobBooks(t *testing.T, file string) *jobBooks {
	t.Helper()
	return &jobBooks{file: file, jobs: make(map[string]*jobStory), ends: make(map[string]int)}
}

// check reads what is new in ground truth, and holds everything against the
// database.
func (b *jobBooks) check(t *testing.T, s *jobServer) {
	t.Helper()
	b.read(t, s)
	rows := b.rows(t)
	for _, id := range b.promised {
		if j := b.jobs[id]; j == nil || j.queued != 1 {
			t.Errorf("job %s was promised, and ground truth has %+v of it", id, j)
		}
	}
	known := 0
	for id, j := range b.jobs {
		has := rows[id]
		if has {
			known++
		}
		// A job may be lost with its row written only between that and its webhook.
		if j.queued != 1 || j.completed+j.lost != 1 || j.completed == 1 && !has || j.lost == 1 && has && !j.webhook {
			t.Errorf("job %s: %+v, and its row is there: %t", id, *j, has)
		}
	}
	if known != len(rows) {
		t.Errorf("the database has %d rows, ground truth knows %d of them", len(rows), known)
	}
}

// read asks for the records that are new.
func (b *jobBooks) read(t *testing.T, s *jobServer) {
	t.Helper()
	for {
		var page struct {
			Records []struct {
				Kind, Name, ID, Event, Detail string
			}
			Next, Dropped uint64
		}
		s.admin(t, fmt.Sprintf("truth/records?limit=10000&after=%d", b.next), &page)
		if page.Dropped > 0 {
			t.Fatalf("%d records are not kept any more", page.Dropped)
		}
		if len(page.Records) == 0 {
			return
		}
		b.next = page.Next
		for _, r := range page.Records {
			if r.Kind != "job" || r.Name != "track-event" {
				continue
			}
			j := b.jobs[r.ID]
			if j == nil {
				j = new(jobStory)
				b.jobs[r.ID] = j
			}
			b.ends[r.Event]++
			switch r.Event {
			case "queued":
				j.queued++
				j.webhook = strings.Contains(r.Detail, "webhook")
			case "completed":
				j.completed++
			case "lost":
				j.lost++
			case "failed", "refused":
				t.Errorf("job %s %s: %s", r.ID, r.Event, r.Detail)
			}
		}
	}
}

// admin asks the server's admin interface.
func (s *jobServer) admin(t *testing.T, call string, answer any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/admin/v1/"+call, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %.200s, %v", call, resp.StatusCode, body, err)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		t.Fatal(err)
	}
}

// rows reads the jobs that the database has counted, and checks its counters
// against them.
func (b *jobBooks) rows(t *testing.T) map[string]bool {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.file+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var integrity string
	if err := db.QueryRow(`PRAGMA quick_check`).Scan(&integrity); err != nil || integrity != "ok" {
		t.Fatalf("the database: %s, %v", integrity, err)
	}
	counted := make(map[string]int64)
	jobs := make(map[string]bool)
	each(t, db, `SELECT job_id, user_id || ' ' || event, 1 FROM user_events`, func(id, counter string, n int64) {
		jobs[id] = true
		counted[counter] += n
	})
	each(t, db, `SELECT '', user_id || ' ' || event, count FROM user_metrics`, func(_, counter string, n int64) {
		if counted[counter] != n {
			t.Errorf("counter %s is %d, and has %d jobs: it is written by half", counter, n, counted[counter])
		}
		delete(counted, counter)
	})
	for counter, n := range counted {
		t.Errorf("counter %s is missing, and has %d jobs", counter, n)
	}
	return jobs
}

// each calls do for every row of two texts and a number.
func each(t *testing.T, db *sql.DB, query string, do func(id, counter string, n int64)) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, counter string
		var n int64
		if err := rows.Scan(&id, &counter, &n); err != nil {
			t.Fatal(err)
		}
		do(id, counter, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
