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
// ten times. Each server writes down what its function received. It is judged by the
// rows of cron.job_run_details: no instant is received twice, one that succeeded was
// received, and every instant has a row, those at which nobody led included, unless
// its leader has written down that it skipped it or that it waited, and was killed.
func TestCronFailover(t *testing.T) {
	t.Parallel()
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
	awaitRuns(t, db, len(jobs), time.Time{})
	began := time.Now()
	var kills []time.Time
	longest := time.Duration(0)
	for kill := range cronKills {
		pauseCron(t, time.Duration(rand.IntN(1500))*time.Millisecond)
		if kill%2 == 0 { // an instant is to fall due while nobody leads
			pauseCron(t, time.Until(time.Now().Truncate(time.Second).Add(time.Second-20*time.Millisecond)))
		}
		gone := time.Now()
		if err := c.servers[leader].cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.servers[leader].cmd.Wait() // it was killed, which is an error
		delete(c.servers, leader)
		leader = c.awaitLeader(t, db, leader)
		kills, longest = append(kills, gone), max(longest, time.Since(gone))
		c.start(t)
	}
	end := time.Now()
	awaitRuns(t, db, len(jobs), end)
	for _, s := range c.servers {
		s.stop(t)
	}

	if longest > cronTakeover {
		t.Errorf("a takeover took %s", longest)
	}
	rows, journal := cronRows(t, db), c.journals(t)
	total, late, lost, skipped, waited := 0, 0, 0, 0, 0
	for name, every := range jobs {
		for at := began.Truncate(every).Add(every); at.Before(end); at = at.Add(every) {
			key := cronInstant{name, at.UnixNano()}
			row, wrote := rows[key], journal[key]
			switch {
			case wrote.received > 1:
				t.Errorf("%s was received %d times for %s", name, wrote.received, at)
			case wrote.lost > 1 || wrote.lost == 1 && row != cronLost:
				t.Errorf("%s is lost %d times for %s, and its row says %q", name, wrote.lost, at, row)
			case row == "succeeded 1 row" && wrote.received == 1:
				total++
				if wrote.late {
					late++
				}
			case row == cronLost:
				lost++ // begun, and its server killed before it could say how it ended
			case row == "" && wrote.received == 0 && wrote.skipped > 0:
				skipped++
			case row == "" && wrote.received == 0 && wrote.pending > 0 && kills[len(kills)-1].After(at):
				waited++ // for the run before, and its server killed
			default:
				t.Errorf("%s for %s: its row says %q, the journals %+v; kills at %v", name, at, row, wrote, kills)
			}
		}
	}
	if total < cronKills {
		t.Errorf("%d instants show nothing", total)
	}
	if late == 0 {
		t.Error("nothing was made up for: this shows nothing")
	}
	t.Logf("%d kills: %d instants received once, %d of them made up for after a takeover, %d lost in a kill, %d skipped, %d lost waiting; the longest takeover %s",
		cronKills, total, late, lost, skipped, waited, longest)
}

// cronLost is what the row of a run says whose server was killed.
const cronLost = "failed server restarted"

// cronInstant is an instant of a job.
type cronInstant struct {
	job string
	at  int64 // in Unix nanoseconds
}

// cronRows reads what became of each instant: the status and the message.
func cronRows(t *testing.T, db *pgx.Conn) map[cronInstant]string {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT jobname, scheduled_at, status || ' ' || coalesce(return_message, '') FROM cron.job_run_details JOIN cron.job USING (jobid)")
	if err != nil {
		t.Fatal(err)
	}
	out := map[cronInstant]string{}
	var name, outcome string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&name, &at, &outcome}, func() error {
		out[cronInstant{name, at.UnixNano()}] = outcome
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitRuns waits until every job has a run that has ended, and that was scheduled for
// an instant since the one given.
func awaitRuns(t *testing.T, db *pgx.Conn, jobs int, since time.Time) {
	t.Helper()
	for began := time.Now(); ; pauseCron(t, 20*time.Millisecond) {
		n := 0
		const query = "SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE end_time IS NOT NULL AND scheduled_at >= $1"
		if err := db.QueryRow(t.Context(), query, since).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == jobs {
			return
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d of %d jobs have run since %s", n, jobs, since)
		}
	}
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

// cronWritten is what the servers have written down of an instant.
type cronWritten struct {
	received, pending, skipped, lost int
	late                             bool // it was begun by one that did not lead yet when it fell due
}

// journals reads what the servers have written down, killed ones included.
func (c *cronCluster) journals(t *testing.T) map[cronInstant]cronWritten {
	t.Helper()
	out := map[cronInstant]cronWritten{}
	for n := 1; n <= c.started; n++ {
		file, err := os.Open(filepath.Join(c.dir, strconv.Itoa(n)+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		var led time.Time
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var r struct {
				Kind, Name, Event string
				At, Due           time.Time
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Kind != "cron" {
				continue // of another kind, or cut by the kill
			}
			key := cronInstant{r.Name, r.Due.UnixNano()}
			wrote := out[key]
			switch r.Event {
			case "leader_won":
				led = r.At
			case "fired":
				wrote.late = led.After(r.Due)
			case "received":
				wrote.received++
			case "pending":
				wrote.pending++
			case "skipped_overlap":
				wrote.skipped++
			case "lost":
				wrote.lost++
			}
			out[key] = wrote
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	return out
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
