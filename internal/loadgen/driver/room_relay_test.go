package driver

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// A testRelay passes each message of a room to the other members, with whatever
// faults a test asks for. It is nobody's product: only as much of a relay as the
// driver's tests need.
type testRelay struct {
	*httptest.Server
	// deliver, when set, turns the n-th message (from 0) for one peer into what is
	// written to it.
	deliver func(p *testPeer, n int, data []byte) [][]byte
	// received, when set, is called for each message, before it is passed on.
	received func(from *testPeer, n int)
	// upgraded, when set, is told of each connection before it is read.
	upgraded func(*websocket.Conn)
	echo     bool // messages go to their sender, too
	queue    int  // of a peer, in messages; beyond it they are dropped
	// sendBuffer of a peer's socket in bytes, when above 0.
	sendBuffer int

	mu      sync.Mutex
	rooms   map[string][]*testPeer
	tasks   sync.WaitGroup
	dropped int
}

type testPeer struct {
	relay *testRelay
	room  string
	index int // in the order of joining its room
	user  int // by the query; -1 without
	conn  *websocket.Conn
	queue chan []byte
	done  chan struct{}
	held  [][]byte // for deliver's own use
	sent  int      // messages offered to it
}

func newTestRelay(t testing.TB) *testRelay {
	r := &testRelay{rooms: make(map[string][]*testPeer), queue: 4096}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.closeAll()
		r.Close()
		r.tasks.Wait()
	})
	return r
}

func (r *testRelay) serve(w http.ResponseWriter, req *http.Request) {
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok && r.sendBuffer > 0 {
		_ = tcp.SetWriteBuffer(r.sendBuffer)
	}
	if r.upgraded != nil {
		r.upgraded(conn)
	}
	user, err := strconv.Atoi(req.URL.Query().Get("user"))
	if err != nil {
		user = -1
	}
	p := &testPeer{relay: r, user: user, room: req.URL.Query().Get("room"), conn: conn, queue: make(chan []byte, r.queue), done: make(chan struct{})}
	r.tasks.Add(2)
	r.mu.Lock()
	p.index = len(r.rooms[p.room])
	r.rooms[p.room] = append(r.rooms[p.room], p)
	r.mu.Unlock()
	go p.write()
	defer r.tasks.Done()
	for n := 0; ; n++ {
		_, data, err := conn.ReadMessage()
		if err != nil {
			break
		}
		if r.received != nil {
			r.received(p, n)
		}
		r.fanOut(p, data)
	}
	r.leave(p)
	close(p.done)
	_ = conn.Close()
}

func (p *testPeer) write() {
	defer p.relay.tasks.Done()
	for {
		select {
		case <-p.done:
			return
		case data := <-p.queue:
			if p.conn.WriteMessage(websocket.TextMessage, data) != nil {
				_ = p.conn.Close()
			}
		}
	}
}

// closeWith sends a close frame and ends the connection.
func (p *testPeer) closeWith(code int, text string) {
	_ = p.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), noDeadline)
	_ = p.conn.Close()
}

func (r *testRelay) fanOut(from *testPeer, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.rooms[from.room] {
		if p == from && !r.echo {
			continue
		}
		out := [][]byte{data}
		if r.deliver != nil {
			out = r.deliver(p, p.sent, data)
		}
		p.sent++
		for _, d := range out {
			select {
			case p.queue <- d:
			default:
				r.dropped++
			}
		}
	}
}

func (r *testRelay) leave(p *testPeer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	peers := r.rooms[p.room][:0:0]
	for _, other := range r.rooms[p.room] {
		if other != p {
			peers = append(peers, other)
		}
	}
	r.rooms[p.room] = peers
}

func (r *testRelay) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, peers := range r.rooms {
		for _, p := range peers {
			_ = p.conn.Close()
		}
	}
}
