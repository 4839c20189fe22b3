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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/service"
)

// These make the test binary a process that runs a Scheduler on the database named,
// and posts to the URL named.
const (
	memberEnv   = "EDGELOAD_CRON_MEMBER"
	receiverEnv = "EDGELOAD_CRON_RECEIVER"
)

// runMember schedules until its standard input ends.
func runMember(dsn, receiver string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { New(Options{Store: s, Caller: poster(receiver)}).Run(ctx) })
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	wg.Wait()
	return errors.Join(err, s.Close())
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
	one.cmd.Env = append(os.Environ(), memberEnv+"="+m.dsn, receiverEnv+"="+m.url)
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

// No instant is called twice, and none is left out but while nobody led, which is
// never longer than Takeover.
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
	m := &members{t: t, dsn: dsn, url: server.URL, running: map[int]*member{}}
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
		m.add()
		next, called := awaitCaller(t, r, leader)
		gaps, leader = append(gaps, gap{gone, called}), next
	}
	killed := longest(gaps)

	if stop {
		// One that stands still loses the lead too, and begins nothing when it goes on.
		gone := time.Now()
		m.signal(leader, syscall.SIGSTOP)
		_, called := awaitCaller(t, r, leader)
		m.signal(leader, syscall.SIGCONT)
		gaps = append(gaps, gap{gone, called})
	}
	if longest(gaps) > Takeover {
		t.Errorf("nobody called for %s", longest(gaps))
	}
	hold(t, 1200*time.Millisecond)
	end := time.Now()
	m.stop()

	restarted := lostInCall(t, s)
	missing, lost := 0, 0
	for name, every := range jobs {
		for at := gridBefore(began, every).Add(every); at.Before(end.Add(-time.Second)); at = at.Add(every) {
			switch n := r.counts[name][at]; {
			case n == 1:
			case n > 1:
				t.Errorf("%s was called %d times for %s", name, n, at)
			case inGap(gaps, at):
				missing++
			case restarted[name+at.Format(time.RFC3339)]:
				lost++ // begun, and its leader killed before the call was made
			default:
				t.Errorf("%s was not called for %s; nobody led in %v", name, at, gaps)
			}
		}
	}
	if len(r.counts["unreadable"]) > 0 {
		t.Error("unreadable calls")
	}
	t.Logf("in %s: calls of a job of 1 second again %s after a kill at the latest, %s in all; %d instants left out meanwhile, %d lost between begin and call",
		end.Sub(began), killed, longest(gaps), missing, lost)
}

// gap is when a leader was gone, and when the next one called.
type gap struct{ gone, called time.Time }

func longest(gaps []gap) (d time.Duration) {
	for _, g := range gaps {
		d = max(d, g.called.Sub(g.gone))
	}
	return d
}

func inGap(gaps []gap, at time.Time) bool {
	return slices.ContainsFunc(gaps, func(g gap) bool { return !at.Before(g.gone) && !at.After(g.called) })
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

// lostInCall reads which runs a killed leader had begun, by job and instant.
func lostInCall(t *testing.T, s *store.Store) map[string]bool {
	t.Helper()
	runs, rerr := s.Runs(t.Context(), store.RunQuery{Limit: 10_000})
	jobs, jerr := s.Jobs(t.Context())
	if err := errors.Join(rerr, jerr); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, run := range runs {
		for _, job := range jobs {
			if job.ID == run.JobID && run.ReturnMessage == "server restarted" {
				out[job.Name+run.ScheduledAt.Format(time.RFC3339)] = true
			}
		}
	}
	return out
}
