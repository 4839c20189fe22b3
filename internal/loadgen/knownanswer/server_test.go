package knownanswer

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/wire"
)

// serve runs a server until the test ends.
func serve(t *testing.T) (base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- new(Server).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server did not end")
		}
	})
	return l.Addr().String()
}

// Two streams on one connection: each event carries a stamp of its own that lies
// between the deadline and the arrival, and a late event does not move the next.
func TestStreamStamps(t *testing.T) {
	base := serve(t)
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range 2 {
		begin := time.Now()
		resp, err := client.Get("http://" + base + PathStream + "?events=5&ttft=40ms&gap=20ms")
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
			t.Fatalf("%s, %s", resp.Status, got)
		}
		var stamps []int64
		var contents, ends int
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			arrived := time.Now()
			line := lines.Bytes()
			switch {
			case bytes.HasPrefix(line, []byte(":")):
				stamp, ok := wire.ParseStamp(line[1:])
				if !ok {
					t.Fatalf("no stamp: %s", line)
				}
				due := begin.Add(40*time.Millisecond + time.Duration(len(stamps))*20*time.Millisecond)
				if at := time.Unix(0, stamp); at.Before(due) || at.After(arrived) {
					t.Errorf("event %d is stamped %v after its deadline and %v before it arrived", len(stamps), at.Sub(due), arrived.Sub(at))
				}
				stamps = append(stamps, stamp)
			case string(line) == "data: [DONE]":
				ends++
			case bytes.HasPrefix(line, []byte("data: ")):
				if contents++; contents != len(stamps) {
					t.Errorf("content %d follows %d stamps", contents, len(stamps))
				}
			}
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if contents != 5 || ends != 1 {
			t.Errorf("%d contents and %d ends", contents, ends)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	base := serve(t)
	for _, path := range []string{
		PathStream, PathStream + "?events=0&ttft=1s&gap=1s", PathStream + "?events=5&ttft=-1s&gap=1s",
		PathStream + "?events=5&ttft=1s&gap=2m", PathRoom, PathRoom + "?until=soon", PathRoom + "?until=1",
	} {
		resp, err := http.Get("http://" + base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // not read
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s, want 400", path, resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func join(t *testing.T, base, room string, until int64) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s%s?room=%s&until=%d", base, PathRoom, room, until), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // empty
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

const ours = `{"edgeload":"1:00112233aabbccdd:3:0:17:%d;","pad":"xxxx"}`

// Each receiver is told the instant of its own write, and the sender nothing.
func TestRoomStamps(t *testing.T) {
	base := serve(t)
	sender := join(t, base, "a", math.MaxInt64)
	receivers := []*websocket.Conn{join(t, base, "a", math.MaxInt64), join(t, base, "a", math.MaxInt64)}
	stranger := join(t, base, "b", math.MaxInt64)
	begin := time.Now().UnixNano()
	if err := sender.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, ours, begin-int64(time.Hour))); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for i, c := range receivers {
		_, message, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		before, after, _ := strings.Cut(fmt.Sprintf(ours, 1), "17:1")
		digits, ok := strings.CutPrefix(string(message), before+"17:")
		digits, rest := digits[:min(len(digits), instantDigits)], strings.TrimPrefix(digits, digits[:min(len(digits), instantDigits)])
		at, err := strconv.ParseInt(digits, 10, 64)
		if !ok || rest != after || err != nil || at < begin || at > time.Now().UnixNano() {
			t.Errorf("receiver %d got %s, %v", i, message, err)
		}
		seen[at] = true
	}
	if len(seen) != 2 {
		t.Error("two writes share an instant")
	}
	for _, c := range []*websocket.Conn{sender, stranger} {
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, message, err := c.ReadMessage(); err == nil {
			t.Errorf("the sender or a stranger got %s", message)
		}
	}
}

// What is written after the end of the receivers' run says that it was planned before.
func TestRoomUntil(t *testing.T) {
	base := serve(t)
	const until = 1_700_000_000_000_000_000
	sender, receiver := join(t, base, "a", until), join(t, base, "a", until)
	if err := sender.WriteMessage(websocket.BinaryMessage, fmt.Appendf(nil, ours, time.Now().UnixNano())); err != nil {
		t.Fatal(err)
	}
	kind, message, err := receiver.ReadMessage()
	if want := fmt.Sprintf(ours, until); err != nil || kind != websocket.BinaryMessage || string(message) != want {
		t.Errorf("got %s, %v, want %s", message, err, want)
	}
}

func TestRoomRefusesOtherMessages(t *testing.T) {
	base := serve(t)
	c := join(t, base, "a", 1)
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"hello":"world"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInvalidFramePayloadData) {
		t.Errorf("%v, want close 1007", err)
	}
}

func FuzzFindPlanned(f *testing.F) {
	for _, seed := range []string{
		fmt.Sprintf(ours, 1_700_000_000_000_000_000), fmt.Sprintf(ours, 17), `{"edgeload":"1:`, `{"edgeload":"1:;`, `"edgeload":"1:1700000000000000000;`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		at, ok := findPlanned(message)
		if !ok {
			return
		}
		digits := message[at : at+instantDigits]
		if message[at-1] != ':' || message[at+instantDigits] != ';' {
			t.Fatalf("%q at %d", message, at)
		}
		putInstant(digits, 42)
		if v, err := strconv.ParseInt(string(digits), 10, 64); err != nil || v != 42 {
			t.Fatalf("%q after putting 42: %v", digits, err)
		}
	})
}

func TestStampingDoesNotAllocate(t *testing.T) {
	message := fmt.Appendf(nil, ours, time.Now().UnixNano())
	if n := testing.AllocsPerRun(100, func() {
		at, _ := findPlanned(message)
		putInstant(message[at:at+instantDigits], 1_700_000_000_000_000_000)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The loops end with their context, and a server that ends cuts its streams.
func TestBusyEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	Busy(ctx, 2)
	if ctx.Err() == nil {
		t.Error("ended before its context")
	}
	Busy(t.Context(), 0)
}

func TestServeEndsWithStreamsUnderWay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- new(Server).Serve(ctx, l) }()
	resp, err := http.Get("http://" + l.Addr().String() + PathStream + "?events=100&ttft=0s&gap=1s")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = resp.Body.Close() }() // cut
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server waits for its streams")
	}
}
