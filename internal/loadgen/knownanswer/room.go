package knownanswer

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// maxMessage is the largest message of a room, in bytes.
const maxMessage = 64 << 10

// A room is the members that get each other's messages. A message goes out to
// one member after the other, in the sender's goroutine and under the room's
// lock: nothing is queued, and a sender that is too fast is held up.
type room struct {
	mu      sync.Mutex
	members []*websocket.Conn
}

// room joins the member to the room that the query names and relays what it
// sends, until it leaves. The query's "until", in Unix nanoseconds, is the latest
// instant that is put into a message: a receiver counts what was planned within
// its run, and a message written after the run's end was planned before it.
func (s *Server) room(w http.ResponseWriter, r *http.Request) {
	until, err := strconv.ParseInt(r.URL.Query().Get("until"), 10, 64)
	if err != nil || until < 0 {
		http.Error(w, "until: want Unix nanoseconds", http.StatusBadRequest)
		return
	}
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
		if err := joined.relay(conn, kind, message, until); err != nil {
			text := websocket.FormatCloseMessage(websocket.CloseInvalidFramePayloadData, err.Error())
			_ = conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(writeTimeout)) // it is closed either way
			return
		}
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

// relay writes a message to everyone but its sender, each time with the instant
// of that very write. A member that cannot be written to is closed; its own
// goroutine takes it out.
func (r *room) relay(sender *websocket.Conn, kind int, message []byte, until int64) error {
	at, ok := findPlanned(message)
	if !ok {
		return errors.New("not a message of loadgen")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m == sender {
			continue
		}
		now := time.Now()
		err := m.SetWriteDeadline(now.Add(writeTimeout))
		if err == nil {
			putInstant(message[at:at+instantDigits], min(now.UnixNano(), until))
			err = m.WriteMessage(kind, message)
		}
		if err != nil {
			_ = m.NetConn().Close() // it cannot be told
		}
	}
	return nil
}

// instantDigits is the length of an instant in Unix nanoseconds, from 2001 to 2286.
const instantDigits = 19

// findPlanned finds the planned publish in a message of loadgen, which is the
// last of the fields of
//
//	{"edgeload":"1:<run>:<room>:<publisher>:<seq>:<planned>;","pad":"xxx…"}
func findPlanned(message []byte) (at int, ok bool) {
	const begin = `"edgeload":"1:`
	from := bytes.Index(message, []byte(begin))
	if from < 0 {
		return 0, false
	}
	end := bytes.IndexByte(message[from:], ';')
	if end < 0 {
		return 0, false
	}
	at = from + end - instantDigits
	if at <= from+len(begin) || message[at-1] != ':' {
		return 0, false
	}
	for _, c := range message[at : at+instantDigits] {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	return at, true
}

// putInstant writes v into all of digits, with leading zeros. It does not allocate.
func putInstant(digits []byte, v int64) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + v%10)
		v /= 10
	}
}
