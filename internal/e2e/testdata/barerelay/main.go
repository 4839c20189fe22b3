// Barerelay is the least that passes messages on with gorilla/websocket: a map of
// rooms, and the reader of a message writes its one frame to everyone else. A peer that
// does not read stops its room.
//
// It is what the relay's CPU time is compared with.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on ws://%s/\n", ln.Addr())
	err = http.Serve(ln, &handler{
		rooms:    make(map[string][]*peer),
		upgrader: websocket.Upgrader{WriteBufferPool: &sync.Pool{}},
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

type handler struct {
	upgrader websocket.Upgrader

	mu    sync.Mutex
	rooms map[string][]*peer
}

type peer struct {
	sync.Mutex
	*websocket.Conn
}

// ServeHTTP serves one member of ?room= until it fails.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	me, room := &peer{Conn: conn}, r.URL.Query().Get("room")
	h.mu.Lock()
	h.rooms[room] = append(h.rooms[room], me)
	h.mu.Unlock()
	for {
		kind, payload, err := conn.ReadMessage()
		if err != nil {
			return
		}
		frame, err := websocket.NewPreparedMessage(kind, payload)
		if err != nil {
			return
		}
		h.mu.Lock()
		peers := h.rooms[room]
		h.mu.Unlock()
		for _, p := range peers {
			if p == me {
				continue
			}
			p.Lock()
			err := p.WritePreparedMessage(frame)
			p.Unlock()
			if err != nil {
				return
			}
		}
	}
}
