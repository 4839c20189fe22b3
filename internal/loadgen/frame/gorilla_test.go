package frame

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A script is the far end of a connection: it reads out what it was given, and
// keeps what is written to it.
type script struct {
	net.Conn // nil: what is not below is not called
	out      bytes.Buffer
	in       bytes.Buffer
	upgraded bool
}

// Read answers the upgrade first.
func (s *script) Read(p []byte) (int, error) {
	if !s.upgraded {
		s.upgraded = true
		request, err := http.ReadRequest(bufio.NewReader(&s.in))
		if err != nil {
			return 0, err
		}
		s.in.Reset()
		sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		then := s.out.String()
		s.out.Reset()
		fmt.Fprintf(&s.out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
			base64.StdEncoding.EncodeToString(sum[:]), then)
	}
	return s.out.Read(p)
}

func (s *script) Write(p []byte) (int, error)        { return s.in.Write(p) }
func (s *script) Close() error                       { return nil }
func (s *script) SetDeadline(time.Time) error        { return nil }
func (s *script) SetWriteDeadline(t time.Time) error { return nil }

// byGorilla lists what gorilla/websocket makes of a server's bytes, and how it
// ends.
func byGorilla(t *testing.T, wire []byte, limit int64) (frames []Frame, err error) {
	s := &script{}
	s.out.Write(wire)
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return s, nil }}
	conn, _, err := dialer.Dial("ws://script", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(limit)
	note := func(op Opcode) func(string) error {
		return func(payload string) error {
			frames = append(frames, Frame{op, []byte(payload)})
			return nil
		}
	}
	conn.SetPingHandler(note(Ping))
	conn.SetPongHandler(note(Pong))
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return frames, err
		}
		frames = append(frames, Frame{Opcode(kind), data})
	}
}

// kind is the kind of an ending, in words that fit both.
func kind(err error) string {
	var violation ProtocolError
	var closed *websocket.CloseError
	switch {
	case err == nil, errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure, errors.Is(err, io.EOF):
		return "end"
	case errors.Is(err, websocket.ErrReadLimit), errors.Is(err, ErrTooBig):
		return "too big"
	case errors.As(err, &closed):
		return fmt.Sprintf("close %d %q", closed.Code, closed.Text)
	case errors.As(err, &violation), strings.HasPrefix(err.Error(), "websocket: "):
		return "violation"
	}
	return err.Error()
}

// Whatever a server sends, in whatever pieces, gorilla/websocket sees the same
// messages, the same pings and the same end.
func FuzzDecoderAgainstGorilla(f *testing.F) {
	whole := serverFrame(finalBit|byte(Text), []byte("hello"), false)
	long := serverFrame(finalBit|byte(Binary), make([]byte, 300), false)
	f.Add(slices.Concat(whole, long, whole), 3)
	f.Add(slices.Concat(serverFrame(byte(Text), []byte("a"), true), serverFrame(finalBit|byte(Ping), []byte("p"), false), serverFrame(0, nil, false), serverFrame(finalBit, []byte("b"), false)), 1)
	f.Add(slices.Concat(whole, serverFrame(finalBit|byte(Close), []byte("\x03\xf5slow"), false), whole), 100)
	f.Add(serverFrame(finalBit|byte(Close), []byte("\x03\xed"), false), 2)
	f.Add(serverFrame(finalBit|byte(Close), []byte("\x03\xe8\xff"), false), 2)
	f.Add(serverFrame(finalBit|byte(Close), []byte("x"), false), 2)
	f.Add(serverFrame(finalBit|0x40|byte(Text), nil, false), 2)
	f.Add([]byte{finalBit | byte(Text), length64, 0x80, 0, 0, 0, 0, 0, 0, 1}, 4)
	f.Add(long[:200], 64)
	f.Fuzz(func(t *testing.T, wire []byte, piece int) {
		const limit = 1000
		want, wantErr := byGorilla(t, wire, limit)
		got, err := decode(wire, limit, piece)
		if i := slices.IndexFunc(got, func(f Frame) bool { return f.Opcode == Close }); i >= 0 {
			code, reason, bad := ParseClose(got[i].Payload)
			if err = bad; bad == nil {
				err = &websocket.CloseError{Code: code, Text: reason}
			}
			if code == 1014 {
				return // "bad gateway", which gorilla does not know
			}
			got = got[:i]
		}
		if !slices.EqualFunc(got, want, func(a, b Frame) bool { return a.Opcode == b.Opcode && bytes.Equal(a.Payload, b.Payload) }) {
			t.Errorf("frames %v, gorilla has %v", text(got), text(want))
		}
		if kind(err) != kind(wantErr) {
			t.Errorf("ends with %q, %v; with gorilla %q, %v", kind(err), err, kind(wantErr), wantErr)
		}
	})
}

// A hijacked answer lets gorilla be the server of a script.
type hijacked struct {
	*httptest.ResponseRecorder
	s *script
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.s, bufio.NewReadWriter(bufio.NewReader(h.s), bufio.NewWriter(h.s)), nil
}

// What Append makes, a server of gorilla/websocket reads.
func FuzzAppendAgainstGorilla(f *testing.F) {
	f.Add(uint32(0), []byte("hello"), 1, false)
	f.Add(uint32(0x01020304), []byte("0123456789abcdef0"), 30, true)
	f.Add(^uint32(0), []byte("x"), 70000, true)
	f.Fuzz(func(t *testing.T, key uint32, seed []byte, repeat int, binary bool) {
		payload := bytes.Repeat(seed, min(max(repeat, 0), 70000/(1+len(seed))))
		op := Text
		if binary {
			op = Binary
		}
		control := payload[:min(len(payload), MaxControl)]
		s := &script{upgraded: true}
		before := []byte("before")
		wire := Append(slices.Clone(before), op, key, payload)
		wire = Append(wire, Ping, key, control)
		wire = Append(wire, Close, key, AppendClose(nil, 1000, "done"))
		if !bytes.HasPrefix(wire, before) {
			t.Fatal("what was there has changed")
		}
		s.out.Write(wire[len(before):])
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			request.Header.Set(name, value)
		}
		var upgrader websocket.Upgrader
		conn, err := upgrader.Upgrade(hijacked{httptest.NewRecorder(), s}, request, nil)
		if err != nil {
			t.Fatal(err)
		}
		pinged := "none"
		conn.SetPingHandler(func(payload string) error { pinged = payload; return nil })
		kind, got, err := conn.ReadMessage()
		if err != nil || Opcode(kind) != op || !bytes.Equal(got, payload) {
			t.Errorf("kind %d, %d bytes, %v; expected %d, %d", kind, len(got), err, op, len(payload))
		}
		_, _, err = conn.ReadMessage()
		var closed *websocket.CloseError
		if pinged != string(control) || !errors.As(err, &closed) || closed.Code != 1000 || closed.Text != "done" {
			t.Errorf("pinged with %d bytes, %v", len(pinged), err)
		}
	})
}
