package driver

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/frame"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A farEnd is the server's end of a wsConn: what it is sent, and what it sends
// when that has all been read.
type farEnd struct {
	net.Conn
	frames bytes.Buffer // that the client wrote
	read   sync.WaitGroup
}

// newPipe returns a connection and its far end, which takes all that is written.
func newPipe(t *testing.T, limit int64) (*wsConn, *farEnd) {
	t.Helper()
	near, other := net.Pipe()
	c, err := newWSConn(rxtime.Wrap(near), nil, limit)
	if err != nil {
		t.Fatal(err)
	}
	far := &farEnd{Conn: other}
	far.read.Go(func() { _, _ = io.Copy(&far.frames, other) }) // until it is closed
	t.Cleanup(func() {
		_ = c.Close()
		far.written()
	})
	return c, far
}

// written closes the far end and returns the frames that came, unmasked, each as
// its first byte and its payload.
func (f *farEnd) written() (all []string) {
	_ = f.Close()
	f.read.Wait()
	for b := f.frames.Bytes(); len(b) >= 6; {
		n := int(b[1] & 0x7f) // the tests write no more
		plain := []byte{b[0]}
		for i := range n {
			plain = append(plain, b[6+i]^b[2+i%4])
		}
		all = append(all, string(plain))
		b = b[6+n:]
	}
	return all
}

// What a peer may do between its messages, and how the driver answers it.
func TestConnHeedsControlFrames(t *testing.T) {
	c, far := newPipe(t, 100)
	var sent sync.WaitGroup
	sent.Go(func() {
		for _, part := range []string{
			"\x89\x04ping", "\x8a\x04pong", // a ping, and a pong nobody asked for
			"\x01\x03one", "\x89\x00", "\x80\x01!", // a message with a ping inside
			"\x82\x03tw", "o",
			"\x88\x0a\x03\xf5too slow",
		} {
			if _, err := io.WriteString(far, part); err != nil {
				t.Error(err)
			}
		}
	})
	for _, want := range []string{"one!", "two"} {
		if got, err := c.next(); err != nil || string(got) != want {
			t.Errorf("next = %q, %v, expected %q", got, err, want)
		}
	}
	_, err := c.next()
	class, example := connectionEnd(err)
	if class != "connection closed 1013" || !strings.Contains(example, "too slow") {
		t.Errorf("ends with %q, %q", class, example)
	}
	if err := c.writeFrame([]byte("late"), time.Now().Add(time.Second)); !errors.Is(err, websocket.ErrCloseSent) {
		t.Errorf("a write after the close: %v", err)
	}
	sent.Wait()
	if got, want := far.written(), []string{"\x8aping", "\x8a", "\x88\x03\xf5"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("answered %q, expected %q", got, want)
	}
}

// What a peer must not do, how it is told, and what the report calls it.
func TestConnRefuses(t *testing.T) {
	for _, c := range []struct{ name, sends, answer, class string }{
		{"an extension's bit", "\xc1\x00", "\x88\x03\xeawebsocket: reserved bits", classProtocol},
		{"a close code of nobody", "\x88\x02\x03\xe7", "\x88\x03\xeawebsocket: close code 999", classProtocol},
		{"a long message", "\x81\x7e\x01\x00", "\x88\x03\xf1", "message too big"},
		{"its end within a message", "\x81\x05he", "", "connection closed 1006"},
		{"a close without a code", "\x88\x00", "\x88", "connection closed 1005"},
	} {
		conn, far := newPipe(t, 100)
		var sent sync.WaitGroup
		sent.Go(func() {
			if _, err := io.WriteString(far, c.sends); err != nil {
				t.Error(err)
			}
			if c.answer == "" {
				_ = far.Close()
			}
		})
		_, err := conn.next()
		sent.Wait()
		if class, _ := connectionEnd(err); class != c.class {
			t.Errorf("%s: class %q of %v, expected %q", c.name, class, err, c.class)
		}
		if got := strings.Join(far.written(), "|"); !strings.HasPrefix(got, c.answer) || got != "" && c.answer == "" {
			t.Errorf("%s: answered %q, expected %q", c.name, got, c.answer)
		}
	}
}

// A message may be longer than any buffer, and a read deadline may pass within
// it: the rest still counts.
func TestConnReadsOnAfterItsDeadline(t *testing.T) {
	c, far := newPipe(t, 1<<20)
	payload := strings.Repeat("0123456789", 10000)
	var sent sync.WaitGroup
	passed := make(chan struct{})
	sent.Go(func() {
		_, err1 := io.WriteString(far, "\x81\x7f\x00\x00\x00\x00\x00\x01\x86\xa0"+payload[:60000])
		<-passed
		_, err2 := io.WriteString(far, payload[60000:])
		if err1 != nil || err2 != nil {
			t.Error(err1, err2)
		}
	})
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half a message: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	close(passed)
	if got, err := c.next(); err != nil || string(got) != payload {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	sent.Wait()
	if len(c.buf) != readBufferMost {
		t.Errorf("buffer of %d bytes", len(c.buf))
	}
}

// A control frame does not wait for another write beyond its deadline, and a
// write that failed is the last.
func TestConnWritesOneFrameAtATime(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	c, err := newWSConn(rxtime.Wrap(near), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := c.writeFrame([]byte("stuck"), time.Now().Add(100*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a write that nobody reads: %v", err)
		}
	})
	for len(c.writing) > 0 { // until it is under way
		runtime.Gosched()
	}
	if err := c.writeControl(frame.Ping, nil, time.Now().Add(5*time.Millisecond)); !errors.Is(err, errWriteBusy) || classOf(err) != classTimeout {
		t.Errorf("a control frame beside it: %v", err)
	}
	writing.Wait()
	if err := c.writeFrame([]byte("more"), time.Now().Add(time.Second)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write after one that failed: %v", err)
	}
}

// upgradeBy runs one member against a server that answers its upgrade by hand.
func upgradeBy(t *testing.T, answer func(accept string) string) *roomOutcome {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// gorilla's own answer is what the accept key is taken from.
		recorded := &recordedUpgrade{ResponseWriter: w}
		var upgrader websocket.Upgrader
		if _, err := upgrader.Upgrade(recorded, r, nil); err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = recorded.conn.Close() }()
		_, rest, _ := strings.Cut(recorded.answer.String(), "Sec-WebSocket-Accept: ")
		accept, _, _ := strings.Cut(rest, "\r\n")
		if _, err := io.WriteString(recorded.conn, answer(accept)); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, recorded.conn) // until the client leaves
	}))
	t.Cleanup(server.Close)
	room := aRoom()
	room.Members, room.Publishers, room.Settle = 1, 1, scenario.Duration(time.Millisecond)
	return roomRun{target: server.URL, users: 1, room: room, warmup: time.Nanosecond}.run(t)
}

// A recordedUpgrade keeps what would be answered.
type recordedUpgrade struct {
	http.ResponseWriter
	conn   net.Conn
	answer bytes.Buffer
}

func (r *recordedUpgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	r.conn = conn
	return &answered{conn, &r.answer}, rw, err
}

type answered struct {
	net.Conn
	to io.Writer
}

func (a *answered) Write(p []byte) (int, error) { return a.to.Write(p) }

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

// Messages may come in the same segment as the answer to the upgrade.
func TestRoomsEarlyMessages(t *testing.T) {
	t.Parallel()
	o := upgradeBy(t, func(accept string) string {
		return switching + accept + "\r\n\r\n" + strings.Repeat("\x81\x05hello", 300) + "\x88\x02\x03\xe9"
	})
	o.want(map[string]int64{"connections": 1, "foreign": 300, "connections_lost": 1})
	if e := o.errors["connection closed 1001"]; e.Count != 1 {
		t.Errorf("errors %v", o.errors)
	}
}

// An extension nobody asked for would make frames that nobody understands.
func TestRoomsUnaskedExtension(t *testing.T) {
	t.Parallel()
	o := upgradeBy(t, func(accept string) string {
		return switching + accept + "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n"
	})
	o.want(map[string]int64{"connections": 0, "connect_failed": 1})
	if e := o.errors[classProtocol]; e.Count != 1 || !strings.Contains(e.Example, "valid handshake") {
		t.Errorf("errors %v", o.errors)
	}
}

// Over TLS, too, a member that is dismissed reads on until its close is answered.
func TestRoomsOverTLS(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	overTLS := httptest.NewUnstartedServer(relay.Config.Handler)
	overTLS.StartTLS()
	t.Cleanup(overTLS.Close)
	room := aRoom()
	room.Payload = scenario.SizeDist{Min: 100, Max: 40 << 10} // records within and beyond one read
	o := roomRun{target: overTLS.URL, insecure: true, users: 10, room: room}.run(t)
	o.even()
	o.want(map[string]int64{"lost": 0, "connections": 10, "connections_lost": 0, "unclean_closes": 0, "publish_failed": 0})
	if o.count("received") < 100 || o.samples("tls") != 10 || len(o.errors) != 0 {
		t.Errorf("received %d, %d handshakes, errors %v", o.count("received"), o.samples("tls"), o.errors)
	}
}
