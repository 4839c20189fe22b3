package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// stalledReceiveBuffer is the socket's receive buffer of a member that reads
// slowly, or never, in bytes: small, so that the peer feels it soon.
const stalledReceiveBuffer = 4 << 10

// An upgradeTemplate makes the upgrade request of each member. Any number of
// goroutines may use it at once.
type upgradeTemplate struct {
	base     *url.URL // its scheme is ws or wss
	workload string
	seed     uint64
	sink     string // its address
	path     *scenario.Template
	headers  map[string]*scenario.Template
	feed     *scenario.Rows // nil without a feed
}

// newUpgradeTemplate compiles the path, which is resolved against the target as
// a browser resolves a link (RFC 3986), and the headers of the workload's room.
func newUpgradeTemplate(of opening) (*upgradeTemplate, error) {
	sc, w := of.scenario, of.workload
	base, err := url.Parse(sc.Target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	switch {
	case base.Scheme == "http" && base.Host != "":
		base.Scheme = "ws"
	case base.Scheme == "https" && base.Host != "":
		base.Scheme = "wss"
	default:
		return nil, fmt.Errorf("target %q: want an http or https URL", sc.Target)
	}
	t := &upgradeTemplate{base: base, workload: of.name, seed: sc.Seed, sink: of.sinkURL(), headers: make(map[string]*scenario.Template)}
	if t.path, err = scenario.CompileTemplate("path", w.Room.Path); err != nil {
		return nil, fmt.Errorf("room path: %w", err)
	}
	for key, value := range w.Room.Headers {
		if t.headers[key], err = scenario.CompileTemplate("headers."+key, value); err != nil {
			return nil, fmt.Errorf("room header %s: %w", key, err)
		}
	}
	if w.Feed != nil {
		if t.feed, err = scenario.OpenFeed(sc.Dir, w.Feed, sc.Seed); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// request returns the address and the headers of one member's upgrade.
func (t *upgradeTemplate) request(runID, room string, a engine.Arrival) (address string, headers http.Header, err error) {
	data := t.data(runID, room, a)
	b, err := t.path.Append(nil, &data)
	if err != nil {
		return "", nil, fmt.Errorf("path: %w", err)
	}
	resolved, err := t.base.Parse(string(b))
	if err != nil {
		return "", nil, fmt.Errorf("path: %w", err)
	}
	headers = make(http.Header, len(t.headers)+1)
	headers.Set("User-Agent", userAgent)
	for key, value := range t.headers {
		if b, err = value.Append(b[:0], &data); err != nil {
			return "", nil, fmt.Errorf("header %s: %w", key, err)
		}
		headers.Set(key, string(b))
	}
	return resolved.String(), headers, nil
}

// data is what the templates of one member see.
func (t *upgradeTemplate) data(runID, room string, a engine.Arrival) scenario.Data {
	data := scenario.Data{Seq: a.Seq, User: a.User, Room: room, Workload: t.workload, RunID: runID, Seed: t.seed, Sink: t.sink}
	if t.feed != nil {
		data.Feed = t.feed.Row(a.Seq)
	}
	return data
}

// connect opens a connection for m, has it join where the relay wants to be asked,
// and records how that went; nil when it failed. It gives up when the run stops:
// whoever has not joined by then never will.
func (d *webSocket) connect(ctx context.Context, m *member, a engine.Arrival, rec *engine.Recorder, setup engine.MetricID) *wsConn {
	conn, err := d.establish(ctx, m, a, rec, setup)
	if err != nil {
		var refused *upgradeError
		class, example := "", ""
		if errors.As(err, &refused) {
			class, example = refused.class(), excerpt(err.Error())
		} else {
			class, example = connectionEnd(err)
		}
		if class == classUnfinished && m.conn != nil {
			return nil // it would have come back; the run ended before
		}
		rec.Add(wsConnectFailed, 1)
		rec.Error(class, fmt.Sprintf("%v: %s", m, example))
		return nil
	}
	rec.Add(wsConnections, 1)
	return conn
}

func (d *webSocket) establish(ctx context.Context, m *member, a engine.Arrival, rec *engine.Recorder, setup engine.MetricID) (*wsConn, error) {
	waited, err := d.gate.enter(ctx, d.plan.run.Stopping)
	if err != nil {
		return nil, err
	}
	defer d.gate.leave()
	rec.Record(wsConnectWait, int64(waited))
	address, headers, err := d.template.request(d.plan.run.ID, m.room.name, a)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var connected time.Time
	var times connectTimes
	upgraded, early, err := d.dialUntilStop(withConnectTimes(ctx, func(t connectTimes) {
		times, connected = t, time.Now()
	}), address, headers)
	if !connected.IsZero() {
		rec.Record(wsDial, int64(times.Dial))
		if times.DNS > 0 {
			rec.Record(wsDNS, int64(times.DNS))
		}
		if times.TLS > 0 {
			rec.Record(wsTLS, int64(times.TLS))
		}
	}
	if err != nil {
		return nil, err
	}
	rec.Record(wsUpgrade, int64(time.Since(connected)))
	rec.Record(setup, int64(time.Since(begin)))
	conn, err := newWSConn(upgraded, early, d.maxMessage())
	if err == nil && (m.stalled || m.slow) {
		err = shrinkReceiveBuffer(conn.rx)
	}
	if err == nil && d.speech != nil {
		if m.habits.voice == nil {
			m.habits.voice, err = d.speaker.voice(d.template.data(d.plan.run.ID, m.room.name, a))
		}
		if err == nil {
			err = d.hail(ctx, m, conn, rec)
		}
	}
	if err != nil {
		_ = upgraded.Close() // the member is of no use
		return nil, err
	}
	return conn, nil
}

// dialUntilStop dials; the run's stop or the end of ctx cuts it short, which
// gorilla's own dialling, once it waits for the answer, would not notice. An
// answer that is no upgrade is an *upgradeError. early is what the peer has sent
// behind its answer.
func (d *webSocket) dialUntilStop(ctx context.Context, address string, headers http.Header) (_ net.Conn, early []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.stopping, cancel)()
	buffers, ok := d.upgrades.Get().(*upgradeBuffers)
	if !ok {
		buffers = newUpgradeBuffers()
	}
	defer func() {
		buffers.use(nil)
		d.upgrades.Put(buffers)
	}()
	var (
		opened  upgradingConn                             // its Conn is nil until there is one
		release = func() bool { return ctx.Err() == nil } // from the end of ctx; false when that came before
		closing sync.WaitGroup
	)
	keep := func(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
		return func(dialCtx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(dialCtx, network, addr)
			if err != nil {
				return nil, err
			}
			buffers.use(conn)
			opened = upgradingConn{conn, buffers}
			closing.Add(1)
			release = context.AfterFunc(ctx, func() {
				defer closing.Done()
				_ = conn.Close() // whoever waits on it gives up
			})
			return &opened, nil
		}
	}
	dialer := d.upgrade
	dialer.NetDialContext, dialer.NetDialTLSContext = keep(dialer.NetDialContext), keep(dialer.NetDialTLSContext)

	// The gorilla connection is not used: it holds buffers and allocates.
	_, response, err := dialer.DialContext(ctx, address, headers)
	if response != nil {
		defer func() { _ = response.Body.Close() }() // its beginning is in memory
	}
	if !release() {
		if opened.Conn != nil {
			closing.Wait()
		}
		return nil, nil, fmt.Errorf("connect to %s, cut by the end of the run: %w", address, context.Canceled)
	}
	switch {
	case errors.Is(err, websocket.ErrBadHandshake):
		return nil, nil, newUpgradeError(response)
	case err != nil:
		return nil, nil, err
	case response.Header.Get("Sec-Websocket-Extensions") != "":
		_ = opened.Close() // its frames would not be understood
		return nil, nil, newUpgradeError(response)
	}
	if err := d.agreed(response.Header.Get("Sec-Websocket-Protocol")); err != nil {
		_ = opened.Close() // the member is of no use
		return nil, nil, err
	}
	return opened.Conn, opened.early(), nil
}

// classSubprotocol is an upgrade that agrees on another subprotocol than it should.
const classSubprotocol = "subprotocol"

// agreed checks the subprotocol that an answer names: one that was offered, and the
// one that is required. Where none was offered by subprotocols, a header may have.
func (d *webSocket) agreed(name string) error {
	required := d.room.RequireSubprotocol
	switch {
	case required != "" && name != required:
		return &relayError{class: classSubprotocol, text: fmt.Sprintf("the upgrade agreed on subprotocol %q, %q is required", name, required)}
	case name != "" && len(d.room.Subprotocols) > 0 && !slices.Contains(d.room.Subprotocols, name):
		return &relayError{class: classSubprotocol, text: fmt.Sprintf("the upgrade agreed on subprotocol %q, which was not offered", name)}
	}
	return nil
}

// shrinkReceiveBuffer makes the peer of a connection that is read slowly, or never,
// feel it after a few packets.
func shrinkReceiveBuffer(rx *rxtime.Conn) error {
	if tcp, ok := rx.Conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(stalledReceiveBuffer); err != nil {
			return fmt.Errorf("shrink the receive buffer: %w", err)
		}
	}
	return nil
}

// An upgradeError is an answer that is no upgrade.
type upgradeError struct {
	status int
	body   string // its beginning
}

func newUpgradeError(response *http.Response) *upgradeError {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxExample)) // what there is of it
	return &upgradeError{status: response.StatusCode, body: string(body)}
}

func (e *upgradeError) class() string {
	if e.status == http.StatusSwitchingProtocols {
		return classProtocol
	}
	return fmt.Sprintf("http %d", e.status)
}

func (e *upgradeError) Error() string {
	text := fmt.Sprintf("upgrade answered %d %s", e.status, http.StatusText(e.status))
	if e.status == http.StatusSwitchingProtocols {
		text += " without a valid handshake"
	}
	if e.body != "" {
		text += ": " + e.body
	}
	return text
}
