package relay

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// recorder is a net.Conn that keeps what is written to it and has nothing to
// read.
type recorder struct {
	bytes.Buffer
	net.Conn
}

func (r *recorder) Write(b []byte) (int, error)      { return r.Buffer.Write(b) }
func (r *recorder) Read(b []byte) (int, error)       { return r.Buffer.Read(b) }
func (r *recorder) Close() error                     { return nil }
func (r *recorder) SetDeadline(time.Time) error      { return nil }
func (r *recorder) SetReadDeadline(time.Time) error  { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// hijack is an http.ResponseWriter whose connection is conn.
type hijack struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// websocketOver returns the server's end of a WebSocket on r, its handshake
// forgotten.
func websocketOver(r *recorder) *websocket.Conn {
	request := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection": {"upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
	conn, err := new(websocket.Upgrader).Upgrade(hijack{conn: r}, request, nil)
	if err != nil {
		panic(err) // a fixed handshake on a connection that cannot fail
	}
	r.Reset()
	return conn
}
