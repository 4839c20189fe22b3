package functions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/relay"
	"github.com/edgeload/edgeload/internal/wire"
)

const (
	defaultRoom      = "default"
	upgradeRequired  = "WebSocket upgrade required"
	handshakeTimeout = 5 * time.Second // to write the 101
)

// WSRelay is the guide's ws-relay: GET with ?room=R (default "default")
// upgrades to a WebSocket on which everyone in the room but the sender gets
// each message, text or binary, unchanged. Any origin may connect, no
// subprotocol and no extension is agreed on, permessage-deflate neither.
//
// Rooms are as the guide has them: each worker has its own, unless a Redis broker
// joins them (relay.Options.Broker). An upgrade is answered at once and keeps no
// worker alive: when the worker dies its sockets are cut without a Close frame, and
// clients see 1006. With ?wait_until=close the function holds a waitUntil task
// until the socket closes, so that its worker lives to its full wall clock.
//
// With ?stamp=writes this client's messages come behind a line that says when each
// was written to it (see wire.QueryStamp): the known answer that a receiver's clock
// is checked against.
//
// Where the guide falls short this does not follow it: the answer to a request
// without an upgrade, 426, names the protocol to upgrade to; a client is a
// member of its room before it sees its 101; queues, message sizes and silence
// are bounded (see relay.Options); and a socket that closes names the reason.
// Once Shutdown has begun, upgrades are answered 503.
//
// A WSRelay is also a prometheus.Collector of the relay's counters, which are those
// of all its workers. Its methods may be called concurrently.
type WSRelay struct {
	relay    *relay.Relay
	upgrader websocket.Upgrader
	log      *slog.Logger
	metrics  []relayMetric
}

// NewWSRelay returns the function, or an error that names the options at fault. Run
// must run while it serves.
func NewWSRelay(o relay.Options) (*WSRelay, error) {
	rooms, err := relay.New(o)
	if err != nil {
		return nil, err
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &WSRelay{
		relay: rooms,
		log:   log,
		upgrader: websocket.Upgrader{
			HandshakeTimeout: handshakeTimeout,
			CheckOrigin:      func(*http.Request) bool { return true },
			// net/http's buffer of 4 KiB is let go: a larger message than this is read
			// past the buffer.
			ReadBufferSize: 1 << 10,
			// Prepared messages and control frames need no write buffer; the pool keeps
			// one from being made for each connection.
			WriteBufferPool: &sync.Pool{},
			WriteBufferSize: 1 << 10,
		},
		metrics: relayMetrics(),
	}, nil
}

// Function is what to deploy: each worker has its own rooms.
func (f *WSRelay) Function() edge.Function {
	return edge.Function{Name: NameWSRelay, Load: func(w *edge.Worker) (http.Handler, error) {
		return &relayWorker{f, f.relay.NewHub(w.Context())}, nil
	}}
}

// Run keeps the connections to the broker until ctx ends, which must be after
// Shutdown. See relay.Relay.Run.
func (f *WSRelay) Run(ctx context.Context) error { return f.relay.Run(ctx) }

// Shutdown closes every socket with 1001 once its queue is written, and
// returns when all are closed; what is left at the end of ctx is cut, and
// reported. See relay.Relay.Shutdown.
func (f *WSRelay) Shutdown(ctx context.Context) error { return f.relay.Shutdown(ctx) }

// Stats returns the relay's counters as they are now.
func (f *WSRelay) Stats() relay.Stats { return f.relay.Stats() }

// relayWorker is the function as one worker runs it.
type relayWorker struct {
	*WSRelay
	hub *relay.Hub
}

// ServeHTTP upgrades one client, and leaves it to its room.
func (f *relayWorker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		h := w.Header()
		if r.ProtoMajor == 1 { // HTTP/2 forbids both fields
			h.Set("Connection", "Upgrade")
			h.Set("Upgrade", "websocket")
		}
		h.Set("Content-Type", "text/plain;charset=UTF-8")
		w.WriteHeader(http.StatusUpgradeRequired)
		_, _ = io.WriteString(w, upgradeRequired) // the client has left: nobody to tell
		return
	}
	ask, err := parseRelayQuery(r.URL.Query())
	if err != nil {
		edge.WriteError(w, http.StatusBadRequest, "", err.Error())
		return
	}
	join := f.hub.Join
	if ask.stamp {
		join = f.hub.JoinStamped
	}
	peer, err := join(r.Context(), ask.room)
	if err != nil {
		edge.WriteError(w, http.StatusServiceUnavailable, "", err.Error())
		return
	}
	inv := edge.InvocationOf(r.Context())
	release := func() {}
	if ask.hold {
		if release, err = hold(inv); err != nil {
			peer.Leave()
			edge.WriteError(w, http.StatusServiceUnavailable, "", err.Error())
			return
		}
	}
	conn, err := f.upgrader.Upgrade(hijackable{w}, r, nil)
	if err != nil {
		peer.Leave()
		release()
		f.log.Debug("upgrade", "function", NameWSRelay, "remote", r.RemoteAddr, "error", err)
		return // answered, or the connection is gone
	}
	f.log.Debug("peer joined", "function", NameWSRelay, "room", ask.room, "peer", peer.ID(), "remote", r.RemoteAddr)
	log, id, closed := f.log, peer.ID(), inv.Detach()
	peer.Start(conn, func(err error) {
		release()
		closed()
		log.Debug("peer left", "function", NameWSRelay, "peer", id, "reason", err)
	})
}

// hold keeps the worker of the invocation alive until release is called or the worker
// is killed.
func hold(inv *edge.Invocation) (release func(), err error) {
	done := make(chan struct{})
	err = inv.WaitUntil(func(ctx context.Context) {
		select {
		case <-done:
		case <-ctx.Done():
		}
	})
	return func() { close(done) }, err
}

// relayQuery is what the query of an upgrade asks for.
type relayQuery struct {
	room        string
	stamp, hold bool
}

func parseRelayQuery(query url.Values) (relayQuery, error) {
	ask := relayQuery{room: defaultRoom}
	if query.Has("room") {
		ask.room = query.Get("room")
	}
	only := func(name, known string) (bool, error) {
		switch got := query.Get(name); got {
		case "":
			return false, nil
		case known:
			return true, nil
		default:
			return false, fmt.Errorf("%s=%q: expected %s", name, got, known)
		}
	}
	var errs [2]error
	ask.stamp, errs[0] = only(wire.QueryStamp, wire.StampWrites)
	ask.hold, errs[1] = only(wire.QueryWaitUntil, wire.WaitUntilClose)
	return ask, errors.Join(errs[:]...)
}

// hijackable finds the connection under whatever wraps the ResponseWriter.
type hijackable struct{ http.ResponseWriter }

// Hijack hands the connection over.
func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
