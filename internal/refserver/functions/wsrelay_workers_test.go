package functions

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/relay"
	"github.com/edgeload/edgeload/internal/service"
	"github.com/edgeload/edgeload/internal/wire"
)

// members opens n sockets in a room, one after the other, so that workers get them
// in turn.
func (s *relayServer) members(t testing.TB, room string, n int) []*websocket.Conn {
	t.Helper()
	conns := make([]*websocket.Conn, n)
	for i := range conns {
		conns[i] = s.dial(t, room)
	}
	return conns
}

// everyoneSpeaks has each socket send one message and read until nothing has come for
// a while after want(i) messages, which must be what it gets.
func everyoneSpeaks(t testing.TB, conns []*websocket.Conn, want func(i int) int) {
	t.Helper()
	for i, conn := range conns {
		send(t, conn, websocket.TextMessage, []byte(fmt.Sprint("from ", i)))
	}
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			for got := range want(i) {
				if _, _, err := conn.ReadMessage(); err != nil {
					t.Errorf("socket %d, after %d messages: %v", i, got, err)
					return
				}
			}
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, m, err := conn.ReadMessage(); err == nil {
				t.Errorf("socket %d got %q beyond the %d it was due", i, m, want(i))
			}
		})
	}
	all.Wait()
}

// A room of 40 over four workers: each socket hears the nine others in its worker,
// and ground truth knows of the thirty more.
func TestRelayRoomSplitsOverWorkers(t *testing.T) {
	s := newRelayIn(t, relay.Options{}, edge.Options{Workers: 4})
	everyoneSpeaks(t, s.members(t, "r", 40), func(int) int { return 9 })
	st := s.Stats()
	if st.RoomOwed != 40*39 || st.Offered != 40*9 || st.Written != 40*9 || st.Split != 40*30 || st.Rooms != 1 {
		t.Errorf("%+v", st)
	}
}

// The same with Redis, and over two processes: each hears all.
func TestRelayRoomIsWholeWithRedis(t *testing.T) {
	o := relay.Options{Broker: service.StartRedis(t).URL}
	a := newRelayIn(t, o, edge.Options{Workers: 4})
	b := newRelayIn(t, o, edge.Options{Workers: 4})
	conns := append(a.members(t, "r", 40), b.members(t, "r", 20)...)
	everyoneSpeaks(t, conns, func(int) int { return 59 })
	for _, s := range []*relayServer{a, b} {
		st := s.Stats()
		if want := uint64(59 * st.Peers); st.RoomOwed != want || st.Written != want || st.Split != 0 || st.Broker.Subscriptions != 1 || st.Broker.GapMessages != 0 {
			t.Errorf("%+v, want %d owed", st, want)
		}
	}
}

// An open socket keeps no worker alive: it is cut at half of the wall clock, without
// a Close frame. One that holds a waitUntil task lasts to the whole.
func TestRelaySocketLastsAsItsWorker(t *testing.T) {
	const wall = time.Second
	for query, want := range map[string]time.Duration{"": wall / 2, "&" + wire.QueryWaitUntil + "=" + wire.WaitUntilClose: wall} {
		t.Run(fmt.Sprint("lasts ", want), func(t *testing.T) {
			s := newRelayIn(t, relay.Options{}, edge.Options{Limits: edge.Limits{WallClock: wall}})
			start := time.Now()
			conn := s.dial(t, "r"+query)
			expectClose(t, conn, websocket.CloseAbnormalClosure)
			if took := time.Since(start); took < want-50*time.Millisecond || took > want+wall/3 {
				t.Errorf("cut after %v, want %v", took, want)
			}
			await(t, "the peer to be forgotten", func() bool { return s.Stats().Peers == 0 })
			// The next worker serves as if nothing had been.
			next := s.dial(t, "r"+query)
			send(t, s.dial(t, "r"+query), websocket.TextMessage, []byte("x"))
			expect(t, next, websocket.TextMessage, []byte("x"))
		})
	}
}

// A task ends with its socket, so that the worker need not outlive it.
func TestRelayTaskEndsWithItsSocket(t *testing.T) {
	f, err := NewWSRelay(relay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	front := edge.New(edge.Options{Functions: []edge.Function{f.Function()}})
	server := serveHTTP(t, front)
	conn, resp, err := websocket.DefaultDialer.Dial(server+wire.PathWSRelay+"?wait_until=close", nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	if st := front.Stats()[0]; st.TasksPending != 1 || st.SocketsNow != 1 {
		t.Errorf("%+v", st)
	}
	_ = conn.Close()
	await(t, "task and socket to end", func() bool { st := front.Stats()[0]; return st.TasksSettled == 1 && st.SocketsNow == 0 })
	if err := front.Close(); err != nil {
		t.Error(err)
	}
}

func TestRelayRefusesAQueryItDoesNotKnow(t *testing.T) {
	s := newRelay(t, relay.Options{})
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), s.url+"?wait_until=midnight", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v, want 400", resp, err)
	}
}

// serveHTTP serves a handler on a loopback port until the test ends, and returns its
// address as ws://….
func serveHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}
