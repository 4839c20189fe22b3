package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/edgeload/edgeload/internal/service"
)

// Of the failover: how often, and within which time docs/reference-server.md says
// that another process leads.
const (
	cronKills    = 10
	cronTakeover = 5 * time.Second
)

// TestCronFailover runs three servers on one PostgreSQL and kills the one that leads
// ten times. Each server writes down what its function received: no instant is
// received twice, and none is left out but while nobody led.
func TestCronFailover(t *testing.T) {
	pg := service.StartPostgres(t, service.PostgresOptions{})
	c := &cronCluster{store: pg.URL, dir: t.TempDir(), servers: map[int]*server{}}
	for range 3 {
		c.start(t)
	}
	db, err := pgx.Connect(t.Context(), pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	jobs := map[string]time.Duration{"second": time.Second, "other": 2 * time.Second, "third": 3 * time.Second}
	for name, every := range jobs {
		if _, err := db.Exec(t.Context(), "SELECT cron.schedule($1, $2, 'morning-digest')", name, fmt.Sprintf("%d seconds", every/time.Second)); err != nil {
			t.Fatal(err)
		}
	}

	leader := c.awaitLeader(t, db, 0)
	began := time.Now().Add(time.Second) // by then every leader has read the jobs
	var gaps []cronGap
	for range cronKills {
		pauseCron(t, time.Duration(rand.IntN(1500))*time.Millisecond)
		gone := time.Now()
		if err := c.servers[leader].cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.servers[leader].cmd.Wait() // it was killed, which is an error
		delete(c.servers, leader)
		next := c.awaitLeader(t, db, leader)
		gaps = append(gaps, cronGap{gone, time.Now()})
		leader = next
		c.start(t)
	}
	pauseCron(t, 2*time.Second)
	end := time.Now()
	for _, s := range c.servers {
		s.stop(t)
	}

	longest := time.Duration(0)
	for _, g := range gaps {
		longest = max(longest, g.led.Sub(g.gone))
	}
	if longest > cronTakeover {
		t.Errorf("a takeover took %s", longest)
	}
	received, fired := c.journals(t)
	total, late, lost, left := 0, 0, 0, 0
	for name, every := range jobs {
		for at := began.Truncate(every).Add(every); at.Before(end.Add(-time.Second)); at = at.Add(every) {
			key := cronInstant{name, at.UnixNano()}
			gap := unled(gaps, at)
			switch n := received[key]; {
			case n == 1:
				total++
				if gap {
					late++
				}
			case n > 1:
				t.Errorf("%s was received %d times for %s", name, n, at)
			case fired[key] == 1 && (gap || killedSoonAfter(gaps, at)):
				lost++ // begun, and its server killed before the call was made
			case gap:
				left++
			default:
				t.Errorf("%s was not received for %s; nobody led in %v", name, at, gaps)
			}
		}
	}
	if total < cronKills {
		t.Errorf("%d instants show nothing", total)
	}
	t.Logf("%d kills: %d instants received once, %d of them made up for after a takeover, %d lost in a kill, %d left out; the longest takeover %s",
		cronKills, total, late, lost, left, longest)
}

// cronGap is when a leader was killed, and when another was seen to lead.
type cronGap struct{ gone, led time.Time }

// unled says whether nobody led at an instant.
func unled(gaps []cronGap, at time.Time) bool {
	return slices.ContainsFunc(gaps, func(g cronGap) bool { return !at.Before(g.gone) && !at.After(g.led) })
}

// killedSoonAfter says whether a leader was killed within a second after an instant.
func killedSoonAfter(gaps []cronGap, at time.Time) bool {
	return slices.ContainsFunc(gaps, func(g cronGap) bool { return g.gone.After(at) && g.gone.Sub(at) < time.Second })
}

// cronInstant is an instant of a job.
type cronInstant struct {
	job string
	at  int64 // in Unix nanoseconds
}

// cronCluster is servers on one database, by their process ids.
type cronCluster struct {
	store, dir string
	started    int
	servers    map[int]*server
}

func (c *cronCluster) start(t *testing.T) {
	t.Helper()
	c.started++
	s := &server{log: new(bytes.Buffer)}
	s.cmd = exec.Command(filepath.Join(bin, "reference-server"), "--listen", "127.0.0.1:0", "--log-level", "error",
		"--store", c.store, "--journal", filepath.Join(c.dir, strconv.Itoa(c.started)+".jsonl"))
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // where the test has failed before
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("reference-server said %q, %v\n%s", line, err, s.log)
	}
	c.servers[s.cmd.Process.Pid] = s
}

// awaitLeader waits until one of the servers leads that is not the one given, and
// returns its process id.
func (c *cronCluster) awaitLeader(t *testing.T, db *pgx.Conn, not int) int {
	t.Helper()
	for began := time.Now(); ; {
		var holder string // host:pid:nonce
		if err := db.QueryRow(t.Context(), "SELECT holder FROM cron.leader").Scan(&holder); err != nil {
			t.Fatal(err)
		}
		if parts := strings.Split(holder, ":"); len(parts) == 3 {
			pid, err := strconv.Atoi(parts[1])
			if err != nil {
				t.Fatal(err)
			}
			if pid != not && c.servers[pid] != nil {
				return pid
			}
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("nobody leads; the last was %q", holder)
		}
		pauseCron(t, 5*time.Millisecond)
	}
}

// journals counts what the servers have written down, killed ones included: the
// instants their function received, and those they fired.
func (c *cronCluster) journals(t *testing.T) (received, fired map[cronInstant]int) {
	t.Helper()
	received, fired = map[cronInstant]int{}, map[cronInstant]int{}
	for n := 1; n <= c.started; n++ {
		file, err := os.Open(filepath.Join(c.dir, strconv.Itoa(n)+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var r struct {
				Kind, Name, Event string
				Due               time.Time
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Kind != "cron" {
				continue // of another kind, or cut by the kill
			}
			switch key := (cronInstant{r.Name, r.Due.UnixNano()}); r.Event {
			case "received":
				received[key]++
			case "fired":
				fired[key]++
			}
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	return received, fired
}

// pauseCron waits.
func pauseCron(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(errors.Join(errors.New("the test ends"), t.Context().Err()))
	}
}
