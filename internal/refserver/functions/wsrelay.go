package functions

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

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
// A WSRelay is also a prometheus.Collector of the relay's counters. Its
// methods may be called concurrently.
type WSRelay struct {
	hub      *relay.Hub
	upgrader websocket.Upgrader
	log      *slog.Logger
	metrics  []relayMetric
}

// NewWSRelay returns the function with its own rooms, or an error that names
// the options at fault.
func NewWSRelay(o relay.Options) (*WSRelay, error) {
	hub, err := relay.NewHub(o)
	if err != nil {
		return nil, err
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &WSRelay{
		hub: hub,
		log: log,
		upgrader: websocket.Upgrader{
			HandshakeTimeout: handshakeTimeout,
			CheckOrigin:      func(*http.Request) bool { return true },
			// The read buffer is the one net/http has made for the request and
			// would keep anyway. Prepared messages and control frames need no write
			// buffer; the pool keeps one from being made for each connection.
			WriteBufferPool: &sync.Pool{},
			WriteBufferSize: 1 << 10,
		},
		metrics: relayMetrics(),
	}, nil
}

// ServeHTTP upgrades one client and serves it until its socket closes.
func (f *WSRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	room := defaultRoom
	query := r.URL.Query()
	if query.Has("room") {
		room = query.Get("room")
	}
	join := f.hub.Join
	switch stamp := query.Get(wire.QueryStamp); stamp {
	case "":
	case wire.StampWrites:
		join = f.hub.JoinStamped
	default:
		edge.WriteError(w, http.StatusBadRequest, "", fmt.Sprintf("%s=%q: expected %s", wire.QueryStamp, stamp, wire.StampWrites))
		return
	}
	peer, err := join(room)
	if err != nil {
		edge.WriteError(w, http.StatusServiceUnavailable, "", err.Error())
		return
	}
	defer peer.Leave()
	conn, err := f.upgrader.Upgrade(hijackable{w}, r, nil)
	if err != nil {
		f.log.Debug("upgrade", "function", NameWSRelay, "remote", r.RemoteAddr, "error", err)
		return // answered, or the connection is gone
	}
	f.log.Debug("peer joined", "function", NameWSRelay, "room", room, "peer", peer.ID(), "remote", r.RemoteAddr)
	err = peer.Serve(r.Context(), conn)
	f.log.Debug("peer left", "function", NameWSRelay, "room", room, "peer", peer.ID(), "reason", err)
}

// Shutdown closes every socket with 1001 once its queue is written, and
// returns when all are closed; what is left at the end of ctx is cut, and
// reported. See relay.Hub.Shutdown.
func (f *WSRelay) Shutdown(ctx context.Context) error { return f.hub.Shutdown(ctx) }

// Stats returns the relay's counters as they are now.
func (f *WSRelay) Stats() relay.Stats { return f.hub.Stats() }

// hijackable finds the connection under whatever wraps the ResponseWriter.
type hijackable struct{ http.ResponseWriter }

// Hijack hands the connection over.
func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// relayMetric is one number of relay.Stats as Prometheus shows it.
type relayMetric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  func(*relay.Stats) float64
	labels []string // values
}

// relayMetrics lists what Collect sends.
func relayMetrics() []relayMetric {
	var all []relayMetric
	add := func(kind prometheus.ValueType, name, help string, value func(*relay.Stats) float64) {
		all = append(all, relayMetric{prometheus.NewDesc("refserver_relay_"+name, help, nil, nil), kind, value, nil})
	}
	add(prometheus.GaugeValue, "rooms", "Rooms with at least one peer.",
		func(s *relay.Stats) float64 { return float64(s.Rooms) })
	add(prometheus.GaugeValue, "peers", "Peers in all rooms.",
		func(s *relay.Stats) float64 { return float64(s.Peers) })
	add(prometheus.GaugeValue, "deliveries_pending", "Deliveries queued or being written.",
		func(s *relay.Stats) float64 { return float64(s.Pending) })
	add(prometheus.CounterValue, "messages_received_total", "Messages read from peers.",
		func(s *relay.Stats) float64 { return float64(s.Received) })
	add(prometheus.CounterValue, "received_bytes_total", "Payload bytes read from peers.",
		func(s *relay.Stats) float64 { return float64(s.ReceivedBytes) })
	add(prometheus.CounterValue, "deliveries_offered_total", "Deliveries owed: for each message, the others in its room. Equal to written, dropped and pending together.",
		func(s *relay.Stats) float64 { return float64(s.Offered) })
	add(prometheus.CounterValue, "deliveries_written_total", "Deliveries handed to the receiver's socket.",
		func(s *relay.Stats) float64 { return float64(s.Written) })
	add(prometheus.CounterValue, "written_bytes_total", "Payload bytes handed to receivers' sockets.",
		func(s *relay.Stats) float64 { return float64(s.WrittenBytes) })

	labelled := func(name, help, label string, values map[string]func(*relay.Stats) uint64) {
		desc := prometheus.NewDesc("refserver_relay_"+name, help, []string{label}, nil)
		for text, value := range values {
			count := func(s *relay.Stats) float64 { return float64(value(s)) }
			all = append(all, relayMetric{desc, prometheus.CounterValue, count, []string{text}})
		}
	}
	labelled("deliveries_dropped_total", "Deliveries dropped: the oldest of a full queue, those to a peer closed as slow, those to a peer that left.", "rule",
		map[string]func(*relay.Stats) uint64{
			"drop-oldest": func(s *relay.Stats) uint64 { return s.DroppedOldest },
			"close":       func(s *relay.Stats) uint64 { return s.DroppedSlow },
			"left":        func(s *relay.Stats) uint64 { return s.DroppedLeft },
		})
	labelled("peers_closed_total", "Peers the relay closed: a full queue (1013), a write that took too long, silence (1008), a message too big (1009), text that is not UTF-8 (1007).", "reason",
		map[string]func(*relay.Stats) uint64{
			"slow":    func(s *relay.Stats) uint64 { return s.SlowClosed },
			"stalled": func(s *relay.Stats) uint64 { return s.StalledClosed },
			"idle":    func(s *relay.Stats) uint64 { return s.IdleClosed },
			"too-big": func(s *relay.Stats) uint64 { return s.TooBigClosed },
			"invalid": func(s *relay.Stats) uint64 { return s.InvalidClosed },
		})
	return all
}

// Describe sends the descriptions of the relay's metrics.
func (f *WSRelay) Describe(out chan<- *prometheus.Desc) {
	for _, m := range f.metrics {
		out <- m.desc
	}
}

// Collect sends the relay's metrics, all from one snapshot.
func (f *WSRelay) Collect(out chan<- prometheus.Metric) {
	stats := f.hub.Stats()
	for _, m := range f.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&stats), m.labels...)
	}
}
