package functions

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// trackerEnv makes the test binary a process that serves track-event from the files
// of the folder it names, until it is killed or its standard input ends.
const trackerEnv = "EDGELOAD_TRACKER"

// trackUntilKilled is that process. It says where it listens, and what it found to
// reconcile.
func trackUntilKilled(ctx context.Context, dir string) error {
	st, ledger, found, err := openTracked(ctx, dir)
	if err != nil {
		return err
	}
	retrier := &Retrier{Outbound: NewOutbound(OutboundOptions{}), Ledger: ledger}
	fn := NewTrackEvent(TrackEventOptions{Metrics: st, Retrier: retrier, Ledger: ledger})
	server := edge.New(edge.Options{Functions: []edge.Function{edge.Shared(NameTrackEvent, fn)}, Workers: 2, Ledger: ledger})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s %d %d\n", ln.Addr(), found.Completed, found.Lost)
	life, stop := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	l := edge.Life{Handler: server, Drain: time.Second}
	l.OnShutdown(server.Terminate)
	return errors.Join(l.Serve(life, ln), st.Close(), ledger.Close())
}

// openTracked opens the store and the ledger of a folder, as a process that starts
// does.
func openTracked(ctx context.Context, dir string) (*store.Store, *truth.Ledger, Reconciled, error) {
	st, err := store.Open(ctx, filepath.Join(dir, "store.db"))
	if err != nil {
		return nil, nil, Reconciled{}, err
	}
	ledger, _, err := truth.Open(filepath.Join(dir, "truth.jsonl"), 0)
	if err != nil {
		return nil, nil, Reconciled{}, errors.Join(err, st.Close())
	}
	found, err := ReconcileJobs(ctx, ledger, st.HasJob)
	return st, ledger, found, err
}

// TestTrackEventSurvivesSIGKILL kills a process under load, at random moments, and
// looks at what it has left behind. Jobs are lost then, as on the platform: what must
// hold is that ground truth says which.
func TestTrackEventSurvivesSIGKILL(t *testing.T) {
	const kills, seed = 5, 20261123
	draw := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	webhook := upstreamOf(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	var lost int
	for kill := range kills {
		after := 50*time.Millisecond + time.Duration(draw.Int64N(int64(200*time.Millisecond)))
		answered := killUnderLoad(t, dir, fmt.Sprint("kill-", kill), webhook.URL, after)
		lost += afterKill(t, dir, answered)
		if t.Failed() {
			t.Fatalf("at kill %d, after %s of load, of seed %d", kill, after, seed)
		}
	}
	if lost == 0 {
		t.Error("no kill took a job along: this shows nothing")
	}
}

// killUnderLoad starts the process, puts load on it, kills it, and returns the ids of
// the jobs that were answered as queued.
func killUnderLoad(t *testing.T, dir, name, webhook string, after time.Duration) (answered []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), trackerEnv+"="+dir), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // again, where the test has failed before
	line, err := bufio.NewReader(out).ReadString('\n')
	base, _, _ := strings.Cut(line, " ")
	if err != nil {
		t.Fatalf("the process said %q, %v", line, err)
	}
	var mu sync.Mutex
	var killed atomic.Bool
	var clients sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	for c := range 8 {
		clients.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", name, c, n)
				body := fmt.Sprintf(`{"user_id": "u%d", "event_type": "click", "id": %q`, n%17, id)
				switch n % 5 {
				case 1:
					body += `, "work": {"sleep": "30ms"}`
				case 2:
					body += `, "webhook_url": "` + webhook + `"`
				}
				resp, err := client.Post(base+edge.PathFunctions+NameTrackEvent, "application/json", strings.NewReader(body+"}"))
				if err != nil {
					if !killed.Load() {
						t.Errorf("the process does not answer, and was not killed: %v", err)
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
			}
		})
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	<-timer.C
	killed.Store(true)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	return answered
}

// afterKill starts where a killed process has ended, checks its books against the
// store, and returns how many jobs were lost in all.
func afterKill(t *testing.T, dir string, answered []string) (lost int) {
	t.Helper()
	st, ledger, found, err := openTracked(t.Context(), dir)
	if err != nil {
		t.Fatalf("open what was left behind: %v", err)
	}
	defer func() { _, _ = st.Close(), ledger.Close() }()
	if broken, err := st.Check(t.Context()); err != nil || len(broken) > 0 {
		t.Errorf("written by half: %+v, %v", broken, err)
	}
	type story struct {
		queued, completed, lost int
		webhook                 bool
	}
	jobs := make(map[string]*story)
	for _, r := range records(t, ledger, truth.Job) {
		s := jobs[r.ID]
		if s == nil {
			s = new(story)
			jobs[r.ID] = s
		}
		switch r.Event {
		case eventQueued:
			s.queued++
			s.webhook = strings.Contains(r.Detail, stepWebhook)
		case eventCompleted:
			s.completed++
		case eventLost:
			s.lost++
			lost++
		case eventFailed:
			t.Errorf("job %s failed: %s", r.ID, r.Detail)
		}
	}
	for _, id := range answered {
		if jobs[id] == nil || jobs[id].queued != 1 {
			t.Errorf("job %s was promised, and ground truth does not know it", id)
		}
	}
	rows := int64(0)
	for id, s := range jobs {
		has, err := st.HasJob(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if has {
			rows++
		}
		if s.queued != 1 || s.completed+s.lost != 1 || s.completed == 1 && !has || s.lost == 1 && has && !s.webhook {
			t.Errorf("job %s: %+v, and its row is there: %t", id, *s, has)
		}
	}
	if n, err := countRows(t.Context(), dir); err != nil || n != rows {
		t.Errorf("%d rows in the store, %d of them of jobs in ground truth, %v", n, rows, err)
	}
	t.Logf("%d answered, %d jobs so far, %d rows; left open: %+v", len(answered), len(jobs), rows, found)
	return lost
}

// countRows is how many jobs have a row in the store of the folder.
func countRows(ctx context.Context, dir string) (n int64, err error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // only read
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM user_events`).Scan(&n)
	return n, err
}
