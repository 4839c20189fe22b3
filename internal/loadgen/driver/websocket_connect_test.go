package driver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Each member's upgrade is made from the templates, over TLS as well.
func TestRoomsUpgradeRequest(t *testing.T) {
	var mu sync.Mutex
	got := make(map[string]http.Header)
	var tasks sync.WaitGroup
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got[r.URL.String()] = r.Header.Clone()
		mu.Unlock()
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		tasks.Add(1)
		defer tasks.Done()
		for err == nil { // answers the close
			_, _, err = conn.ReadMessage()
		}
		_ = conn.Close()
	}))
	defer tasks.Wait()
	defer server.Close()

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tokens.csv"), []byte("token\nalpha\nbeta\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	room := aRoom()
	room.Publish = 0.001 // nothing in the test's time: this server passes nothing on
	room.Members, room.Path = 2, "relay?room={{ .Room }}&user={{ .User }}"
	room.Headers = map[string]string{"authorization": "Bearer {{ .Feed.token }}"}
	opened, err := newWebSocket(opening{scenario: &scenario.Scenario{Target: server.URL + "/functions/", Dir: dir}, name: "chat", workload: &scenario.Workload{
		Room: &room, Load: scenario.Load{Users: 2}, InsecureSkipVerify: true, Feed: &scenario.Feed{File: "tokens.csv"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d, ok := opened.(*webSocket)
	if !ok {
		t.Fatalf("newWebSocket made a %T", opened)
	}
	stopping := make(chan struct{})
	rec := engine.NewRecorder(wsMetrics(), 0)
	if err := d.Begin(engine.Run{ID: "run", Workload: "chat", Clock: engine.NewClock(), End: time.Minute, Stopping: stopping}); err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithTimeout(context.Background(), 30*time.Second)
	defer cut()
	var users sync.WaitGroup
	for u := range 2 {
		users.Go(func() {
			if !arrive(ctx, d, engine.Arrival{Seq: uint64(u), User: u}, rec) {
				t.Errorf("user %d was not done", u)
			}
		})
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the members did not connect")
		}
		mu.Lock()
		n := len(got)
		mu.Unlock()
		if n == 2 {
			break
		}
	}
	// A second life of the same user waits for the end, and does nothing.
	brief, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if arrive(brief, d, engine.Arrival{Seq: 2, User: 1}, rec) || brief.Err() == nil {
		t.Error("a user lived twice")
	}
	time.AfterFunc(30*time.Millisecond, func() { close(stopping) })
	users.Wait()
	if arrive(context.Background(), d, engine.Arrival{Seq: 3, User: 0}, rec) {
		t.Error("a member joined after the stop")
	}
	name := d.rooms[0].name
	d.End(rec)

	if !strings.HasPrefix(name, "chat-") || !strings.HasSuffix(name, "-0") || len(name) != len("chat-01234567-0") {
		t.Errorf("room name %q", name)
	}
	for user, token := range map[string]string{"0": "alpha", "1": "beta"} {
		h, ok := got["/functions/relay?room="+name+"&user="+user]
		if !ok || h.Get("Authorization") != "Bearer "+token || h.Get("User-Agent") != userAgent {
			t.Errorf("user %s: headers %v among requests %v", user, h, got)
		}
	}
	metrics, errs, _ := rec.Collect()
	if n := metrics[wsTLS].Distribution.Count; n != 2 || len(errs) != 0 || metrics[wsUncleanCloses].Value != 0 {
		t.Errorf("%d TLS handshakes, %v unclean closes, errors %v", n, metrics[wsUncleanCloses].Value, errs)
	}
}

// What a member gets of another room or run is foreign; what it gets of itself
// is not expected.
func TestReceiveOfOthers(t *testing.T) {
	p, m := receiver(10)
	rec := engine.NewRecorder(wsMetrics(), 0)
	seq, _, _ := p.room.reserve(p, time.Second, true)
	planned := m.plan.run.Clock.Unix(time.Second)
	for _, msg := range []roomMessage{
		{run: 42, seq: seq, planned: planned},
		{run: 42, room: 1, seq: seq, planned: planned},            // another room's
		{run: 43, seq: seq, planned: planned},                     // another run's
		{run: 42, publisher: 7, seq: seq, planned: planned},       // nobody's
		{run: 42, seq: 1 << 40, planned: planned},                 // never sent
		{run: 42, seq: seq, planned: planned, publisher: 1 << 30}, // nobody's
	} {
		m.receive(rec, 2*time.Second, appendMessage(nil, msg, 0))
	}
	own := p.member
	own.receive(rec, 2*time.Second, appendMessage(nil, roomMessage{run: 42, seq: seq, planned: planned}, 0))
	metrics, errs, _ := rec.Collect()
	for id, want := range map[engine.MetricID]float64{wsReceived: 1, wsForeign: 5, wsUnexpected: 1, wsDuplicated: 0} {
		if got := metrics[id].Value; got != want {
			t.Errorf("%s = %v, expected %v", metrics[id].Name, got, want)
		}
	}
	if len(errs) != 1 || errs[0].Class != "message of another room" || !strings.Contains(errs[0].Example, "member 1") {
		t.Errorf("errors %v", errs)
	}
}

// What comes around a join or a leave is undecided; what is old is not.
func TestReceiveAroundJoinAndLeave(t *testing.T) {
	p, m := receiver(100)
	rec := engine.NewRecorder(wsMetrics(), 0)
	settle := time.Minute
	send := func(planned time.Duration) {
		seq, _, ok := p.room.reserve(p, planned, true)
		if !ok {
			t.Fatal("the publisher has no connection")
		}
		m.receive(rec, planned, appendMessage(nil, roomMessage{run: 42, seq: seq, planned: m.plan.run.Clock.Unix(planned)}, 0))
	}
	m.plan.room.Settle = scenario.Duration(settle)
	p.room.leave(m, "")
	m.habit()
	p.room.rejoin(m, nil, 10*time.Minute, settle)
	send(10*time.Minute - underWay - 1) // long before
	send(10*time.Minute - underWay)     // on its way then
	send(10*time.Minute + settle - 1)   // not settled
	send(10*time.Minute + settle)       // settled
	send(10*time.Minute + 2*settle)     // settled
	p.room.retire(m)
	send(10*time.Minute + 3*settle) // about to leave
	metrics, errs, _ := rec.Collect()
	for id, want := range map[engine.MetricID]float64{wsReceived: 2, wsUndecided: 3, wsUnexpected: 1, wsDuplicated: 0, wsForeign: 0} {
		if got := metrics[id].Value; got != want {
			t.Errorf("%s = %v, expected %v", metrics[id].Name, got, want)
		}
	}
	if got := p.room.tally(); len(got.lost) > 0 || len(errs) > 0 {
		t.Errorf("lost %v, errors %v", got.lost, errs)
	}
}
