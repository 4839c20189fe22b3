package functions

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

func TestRelayDefaultRoom(t *testing.T) {
	s := newRelay(t, relay.Options{})
	bare, resp, err := websocket.DefaultDialer.Dial(s.url, nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	defer func() { _ = bare.Close() }()
	named := s.dial(t, "default")
	empty := s.dial(t, "") // searchParams.get('room') is "", which is a room of its own
	send(t, empty, websocket.TextMessage, []byte("nobody hears this"))
	await(t, "it to be received", func() bool { return s.Stats().Received == 1 })
	send(t, bare, websocket.TextMessage, []byte("x"))
	expect(t, named, websocket.TextMessage, []byte("x"))
}

func TestRelayWithoutUpgrade(t *testing.T) {
	s := newRelay(t, relay.Options{})
	resp, err := http.Get("http" + strings.TrimPrefix(s.url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusUpgradeRequired || string(body) != "WebSocket upgrade required" {
		t.Errorf("answer %d %q", resp.StatusCode, body)
	}
	if up, conn := resp.Header.Get("Upgrade"), resp.Header.Get("Connection"); up != "websocket" || conn != "Upgrade" {
		t.Errorf("Upgrade %q, Connection %q", up, conn)
	}
}

func TestRelayForgetsPeerWhoseUpgradeFails(t *testing.T) {
	s := newRelay(t, relay.Options{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(s.url, "ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-WebSocket-Version", "12")
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Sec-WebSocket-Version") != "13" {
		t.Errorf("answer %d, version %q", resp.StatusCode, resp.Header.Get("Sec-WebSocket-Version"))
	}
	await(t, "the peer to be forgotten", func() bool { st := s.Stats(); return st.Peers == 0 && st.Rooms == 0 })
}

func TestRelayForgetsEmptyRooms(t *testing.T) {
	s := newRelay(t, relay.Options{})
	var conns []*websocket.Conn
	for i := range 9 {
		conns = append(conns, s.dial(t, fmt.Sprint("room", i/3)))
	}
	if st := s.Stats(); st.Rooms != 3 || st.Peers != 9 {
		t.Fatalf("%+v", st)
	}
	for i, conn := range conns {
		if i%2 == 0 { // by the book
			deadline := time.Now().Add(patience)
			if err := conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "bye"), deadline); err != nil {
				t.Fatal(err)
			}
			expectClose(t, conn, 4321)
		}
		_ = conn.Close()
	}
	await(t, "the rooms to be forgotten", func() bool { st := s.Stats(); return st.Rooms == 0 && st.Peers == 0 })
}

// A client that has seen its 101 gets the very next message.
func TestRelayJoinGuarantee(t *testing.T) {
	s := newRelay(t, relay.Options{})
	speaker := s.dial(t, "r")
	for i := range 200 {
		want := []byte(fmt.Sprint("message ", i))
		conn := s.dial(t, "r")
		send(t, speaker, websocket.TextMessage, want)
		expect(t, conn, websocket.TextMessage, want)
		_ = conn.Close()
	}
}

func TestRelayRefusesWithACode(t *testing.T) {
	for _, tc := range []struct {
		name    string
		kind    int
		payload []byte
		code    int
		counted func(relay.Stats) uint64
	}{
		{"too big", websocket.BinaryMessage, make([]byte, 1<<20+1), websocket.CloseMessageTooBig, func(s relay.Stats) uint64 { return s.TooBigClosed }},
		{"far too big", websocket.BinaryMessage, make([]byte, 16<<20), websocket.CloseMessageTooBig, func(s relay.Stats) uint64 { return s.TooBigClosed }},
		{"not UTF-8", websocket.TextMessage, []byte{0xff, 0xfe}, websocket.CloseInvalidFramePayloadData, func(s relay.Stats) uint64 { return s.InvalidClosed }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newRelay(t, relay.Options{})
			other, conn := s.dial(t, "r"), s.dial(t, "r")
			send(t, conn, tc.kind, tc.payload)
			expectClose(t, conn, tc.code)
			_ = conn.Close()
			await(t, "the peer to be gone", func() bool { return s.Stats().Peers == 1 })
			if n := tc.counted(s.Stats()); n != 1 {
				t.Errorf("counted %d", n)
			}
			// The others have seen nothing of it and go on.
			send(t, s.dial(t, "r"), websocket.TextMessage, []byte("next"))
			expect(t, other, websocket.TextMessage, []byte("next"))
		})
	}
}

// A peer that is refused while its room talks to it is still told why.
func TestRelayRefusesABusyPeer(t *testing.T) {
	s := newRelay(t, relay.Options{Slow: relay.SlowDropOldest, MaxMessage: 1 << 10})
	speaker := s.dial(t, "r")
	var talk sync.WaitGroup
	defer talk.Wait()
	quiet, cancel := context.WithCancel(t.Context())
	defer cancel()
	talk.Go(func() {
		for quiet.Err() == nil {
			if err := speaker.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<10)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 50 {
		conn := s.dial(t, "r")
		send(t, conn, websocket.BinaryMessage, make([]byte, 64<<10))
		expectClose(t, conn, websocket.CloseMessageTooBig)
		_ = conn.Close()
	}
}
