package cron

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/service"
)

// These make the test binary a process that runs a Scheduler on the database named,
// posts to the URL named, and keeps its ledger in the folder named.
const (
	memberEnv   = "EDGELOAD_CRON_MEMBER"
	receiverEnv = "EDGELOAD_CRON_RECEIVER"
	ledgersEnv  = "EDGELOAD_CRON_LEDGERS"
)

// runMember schedules until its standard input ends.
func runMember(dsn, receiver, ledgers string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	ledger, _, err := truth.Open(filepath.Join(ledgers, strconv.Itoa(os.Getpid())+".jsonl"), 1)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	var wg sync.WaitGroup
	wg.Go(func() { New(Options{Store: s, Caller: poster(receiver), Truth: ledger}).Run(ctx) })
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	wg.Wait()
	return errors.Join(err, s.Close(), ledger.Close())
}

// poster is a Caller that posts to a URL, with what the call is of in the query.
type poster string

func (p poster) Call(ctx context.Context, c Call) (int, error) {
	url := fmt.Sprintf("%s?job=%s&at=%d&pid=%d", string(p), c.Job, c.Scheduled.UnixNano(), os.Getpid())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// receiver counts what it is posted.
type receiver struct {
	mu     sync.Mutex
	counts map[string]map[time.Time]int // by job and scheduled instant
	pid    int                          // of the latest caller
	at     time.Time                    // of the latest call
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	at, aerr := strconv.ParseInt(query.Get("at"), 10, 64)
	pid, perr := strconv.Atoi(query.Get("pid"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Join(aerr, perr) != nil {
		r.counts["unreadable"] = map[time.Time]int{{}: 1}
		return
	}
	job := query.Get("job")
	if r.counts[job] == nil {
		r.counts[job] = map[time.Time]int{}
	}
	r.counts[job][time.Unix(0, at).UTC()]++
	r.pid, r.at = pid, time.Now()
}

// latest is who called last, and when.
func (r *receiver) latest() (pid int, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pid, r.at
}

// members are the processes of one test.
type members struct {
	t        *testing.T
	dsn, url string
	ledgers  string // a folder
	running  map[int]*member
}

type member struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   *strings.Builder
}

func (m *members) add() {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	one := &member{cmd: exec.Command(self), log: new(strings.Builder)}
	one.cmd.Env = append(os.Environ(), memberEnv+"="+m.dsn, receiverEnv+"="+m.url, ledgersEnv+"="+m.ledgers)
	one.cmd.Stderr = one.log
	if one.stdin, err = one.cmd.StdinPipe(); err != nil {
		m.t.Fatal(err)
	}
	if err := one.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.running[one.cmd.Process.Pid] = one
}

// kill ends a member with SIGKILL.
func (m *members) kill(pid int) {
	m.t.Helper()
	one := m.running[pid]
	m.signal(pid, syscall.SIGKILL)
	delete(m.running, pid)
	_ = one.cmd.Wait() // it was killed, which is an error
}

// signal sends a member a signal.
func (m *members) signal(pid int, s os.Signal) {
	m.t.Helper()
	one := m.running[pid]
	if one == nil {
		m.t.Fatalf("process %d calls, and is none of ours", pid)
	}
	if err := one.cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

// stop ends all members in order.
func (m *members) stop() {
	for pid, one := range m.running {
		m.signal(pid, syscall.SIGCONT) // where the test has failed before it did
		if err := errors.Join(one.stdin.Close(), one.cmd.Wait()); err != nil {
			m.t.Errorf("member %d: %v\n%s", pid, err, one.log)
		}
		delete(m.running, pid)
	}
}

// Three processes on one PostgreSQL, the one that leads killed three times, and stopped
// once. With whole servers, and ten times, internal/e2e does it.
func TestFailover(t *testing.T) {
	t.Parallel() // it waits more than it works
	testFailover(t, service.StartPostgres(t, service.PostgresOptions{}).URL, 3, true)
}

// On SQLite a takeover waits for the lease to expire. One that is stopped can hold the
// file's lock, and then nobody writes: that is SQLite's, and not tried.
func TestFailoverOnSQLite(t *testing.T) {
	t.Parallel()
	testFailover(t, filepath.Join(t.TempDir(), "cron.db"), 1, false)
}

// No instant is called twice, and none is left out: the history has it as succeeded,
// and then it was called, or as begun by a leader that was killed, unless that leader's
// ledger says that it was skipped, or waited. Nobody leads for longer than Takeover.
func testFailover(t *testing.T, dsn string, kills int, stop bool) {
	r := &receiver{counts: map[string]map[time.Time]int{}}
	server := httptest.NewServer(r)
	defer server.Close()
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	jobs := map[string]time.Duration{"second": time.Second, "other": 2 * time.Second, "third": 3 * time.Second}
	for name, every := range jobs {
		if _, err := s.Schedule(t.Context(), name, fmt.Sprintf("%d seconds", every/time.Second), "digest"); err != nil {
			t.Fatal(err)
		}
	}
	m := &members{t: t, dsn: dsn, url: server.URL, ledgers: t.TempDir(), running: map[int]*member{}}
	defer m.stop()
	for range 3 {
		m.add()
	}
	leader, began := awaitCaller(t, r, 0)
	var gaps []gap
	for range kills {
		hold(t, time.Duration(rand.IntN(1000))*time.Millisecond)
		gone := time.Now()
		m.kill(leader)
		dead := time.Now()
		m.add()
		next, called := awaitCaller(t, r, leader)
		gaps, leader = append(gaps, gap{gone, dead, called}), next
	}
	killed := longest(gaps)

	if stop {
		// One that stands still loses the lead too, and begins nothing when it goes on.
		gone := time.Now()
		m.signal(leader, syscall.SIGSTOP)
		_, called := awaitCaller(t, r, leader)
		m.signal(leader, syscall.SIGCONT)
		gaps = append(gaps, gap{gone, called, called})
	}
	if longest(gaps) > Takeover {
		t.Errorf("nobody called for %s", longest(gaps))
	}
	end := time.Now()
	awaitCalls(t, r, jobs, end)
	m.stop()

	history, ledger := outcomes(t, s), m.read()
	late, lost, skipped, waited := 0, 0, 0, 0
	for name, every := range jobs {
		for at := gridBefore(began, every).Add(every); at.Before(end); at = at.Add(every) {
			key := instantOf{name, at.UnixNano()}
			outcome, wrote, n := history[key], ledger[key], r.counts[name][at]
			switch {
			case n > 1:
				t.Errorf("%s was called %d times for %s", name, n, at)
			case outcome == "succeeded 1 row" && n == 1:
				if wrote.late {
					late++
				}
			case outcome == "failed "+store.ServerRestarted:
				lost++ // begun, and its leader gone before it could say how it ended
			case outcome == "" && n == 0 && wrote.skipped:
				skipped++
			case outcome == "" && n == 0 && wrote.pending && gaps[len(gaps)-1].dead.After(at):
				waited++ // for the run before, and its leader gone
			default:
				t.Errorf("%s for %s was called %d times; its history says %q, the ledgers %+v; nobody led in %v", name, at, n, outcome, wrote, gaps)
			}
		}
	}
	if late == 0 {
		t.Error("nothing was made up for: this shows nothing")
	}
	if len(r.counts["unreadable"]) > 0 {
		t.Error("unreadable calls")
	}
	if t.Failed() {
		m.tell()
	}
	t.Logf("in %s: calls of a job of 1 second again %s after a kill at the latest, %s in all; %d instants made up for, %d lost in a kill, %d skipped, %d lost waiting",
		end.Sub(began), killed, longest(gaps), late, lost, skipped, waited)
}

// gap is when a leader was about to be gone, when it was, and when the next one called.
type gap struct{ gone, dead, called time.Time }

func longest(gaps []gap) (d time.Duration) {
	for _, g := range gaps {
		d = max(d, g.called.Sub(g.gone))
	}
	return d
}

// instantOf is an instant of a job, in Unix nanoseconds.
type instantOf struct {
	job string
	at  int64
}

// inLedgers is what the ledgers say of an instant.
type inLedgers struct {
	pending, skipped bool
	late             bool // it was begun by a leader that did not lead yet when it fell due
}

// read reads the ledgers of all members, killed ones included.
func (m *members) read() map[instantOf]inLedgers {
	m.t.Helper()
	paths, err := filepath.Glob(filepath.Join(m.ledgers, "*.jsonl"))
	if err != nil {
		m.t.Fatal(err)
	}
	out := map[instantOf]inLedgers{}
	for _, path := range paths {
		ledger, _, err := truth.Open(path, 1)
		if err != nil {
			m.t.Fatal(err)
		}
		var led time.Time
		for r, err := range ledger.Records(truth.Cron) {
			if err != nil {
				m.t.Fatal(err)
			}
			key := instantOf{r.Name, r.Due.UnixNano()}
			wrote := out[key]
			switch r.Event {
			case "leader_won":
				led = r.At
			case "fired":
				wrote.late = led.After(r.Due)
			case "pending":
				wrote.pending = true
			case "skipped_overlap":
				wrote.skipped = true
			}
			out[key] = wrote
		}
		if err := ledger.Close(); err != nil {
			m.t.Error(err)
		}
	}
	return out
}

// tell logs what every member's ledger holds.
func (m *members) tell() {
	m.t.Helper()
	paths, err := filepath.Glob(filepath.Join(m.ledgers, "*.jsonl"))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, path := range paths {
		lines, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		m.t.Logf("%s:\n%s", filepath.Base(path), lines)
	}
}

// awaitCalls waits until each job was called for an instant since the one given.
func awaitCalls(t *testing.T, r *receiver, jobs map[string]time.Duration, since time.Time) {
	t.Helper()
	began := time.Now()
	for name := range jobs {
		for !r.calledSince(name, since) {
			if time.Since(began) > 30*time.Second {
				t.Fatalf("%s is not called any more", name)
			}
			hold(t, 5*time.Millisecond)
		}
	}
}

// calledSince says whether a job was called for an instant since the one given.
func (r *receiver) calledSince(job string, since time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := range r.counts[job] {
		if !at.Before(since) {
			return true
		}
	}
	return false
}

// awaitCaller waits for a call from another process than the one given.
func awaitCaller(t *testing.T, r *receiver, other int) (pid int, at time.Time) {
	t.Helper()
	began := time.Now()
	for {
		if pid, at := r.latest(); pid != other && pid != 0 {
			return pid, at
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal("nobody calls")
		}
		hold(t, 5*time.Millisecond)
	}
}

// hold waits.
func hold(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// outcomes reads what became of each instant: the status and the message.
func outcomes(t *testing.T, s *store.Store) map[instantOf]string {
	t.Helper()
	runs, rerr := s.Runs(t.Context(), store.RunQuery{Limit: 10_000})
	jobs, jerr := s.Jobs(t.Context())
	if err := errors.Join(rerr, jerr); err != nil {
		t.Fatal(err)
	}
	out := map[instantOf]string{}
	for _, run := range runs {
		for _, job := range jobs {
			if job.ID == run.JobID {
				out[instantOf{job.Name, run.ScheduledAt.UnixNano()}] = run.Status + " " + run.ReturnMessage
			}
		}
	}
	return out
}
