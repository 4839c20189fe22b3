package knownanswer

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/wire"
)

// maxMessage is the largest message of a room, in bytes.
const maxMessage = 64 << 10

// A room is the members that get each other's messages. A message goes out to
// one member after the other, in the sender's goroutine and under the room's
// lock: nothing is queued, and a sender that is too fast is held up.
type room struct {
	mu      sync.Mutex
	members []*websocket.Conn
	buf     []byte // the message being written
}

// room joins the member to the room that the query names and relays what it
// sends, until it leaves.
func (s *Server) room(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		ReadBufferSize: 2 << 10, WriteBufferSize: 2 << 10,
		CheckOrigin: func(*http.Request) bool { return true },
	}
	name := r.URL.Query().Get("room")
	conn, joined, err := s.join(name, func() (*websocket.Conn, error) { return upgrader.Upgrade(w, r, nil) })
	if err != nil {
		return // answered by the upgrader
	}
	defer s.leave(name, conn)
	if !s.take(conn.NetConn()) {
		_ = conn.Close() // the server is ending
		return
	}
	defer s.release(conn.NetConn())
	conn.SetReadLimit(maxMessage)
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		joined.relay(conn, kind, message)
	}
}

// join upgrades a connection and makes it a member. Both happen under the room's
// lock: nothing is relayed between, so whoever has seen its 101 misses nothing.
func (s *Server) join(name string, upgrade func() (*websocket.Conn, error)) (*websocket.Conn, *room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[name]
	if r == nil {
		r = new(room)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	conn, err := upgrade()
	if err != nil {
		return nil, nil, err
	}
	if s.rooms == nil {
		s.rooms = make(map[string]*room)
	}
	s.rooms[name] = r
	r.members = append(r.members, conn)
	return conn, r, nil
}

// leave takes conn out of its room, and an empty room out of the server.
func (s *Server) leave(name string, conn *websocket.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[name]
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range r.members {
		if m == conn {
			r.members = append(r.members[:i], r.members[i+1:]...)
			break
		}
	}
	if len(r.members) == 0 {
		delete(s.rooms, name)
	}
}

// relay writes a message to everyone but its sender, each time behind a stamp of
// that very write. A member that cannot be written to is closed; its own goroutine
// takes it out.
func (r *room) relay(sender *websocket.Conn, kind int, message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m == sender {
			continue
		}
		now := time.Now()
		err := m.SetWriteDeadline(now.Add(writeTimeout))
		if err == nil {
			r.buf = append(wire.AppendStamp(r.buf[:0], now), message...)
			err = m.WriteMessage(kind, r.buf)
		}
		if err != nil {
			_ = m.NetConn().Close() // it cannot be told
		}
	}
}
