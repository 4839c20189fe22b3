package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
	"github.com/edgeload/edgeload/internal/wire"
)

// closeWait bounds the close of a connection: until then the peer may answer
// the close frame.
const closeWait = time.Second

// A member is one user in a room: a connection, what it has received, and the
// publisher when it is one.
type member struct {
	room      *room
	plan      *roomPlan
	index     int
	publisher *publisher // nil when it only receives
	stalled   bool       // never reads
	lived     atomic.Bool

	conn   *websocket.Conn
	rx     *rxtime.Conn
	buf    []byte
	tracks []track // by publisher; its own stays empty

	ended   chan struct{} // closed when the reader has ended, for the reason in readErr
	readErr error

	failedWrite atomic.Pointer[error] // the first write that failed

	got      atomic.Int64 // expected messages received, warm-up included
	target   atomic.Int64 // how many there will be; unset until publishing is over
	received int64        // of the measured part; the reader's own

	from         receipt // the latest read; the reader's own
	framesInRead int64   // frames it completed

	// Under the room's lock.
	presence presence
	settled  time.Duration // when it stops being allowed to miss messages
	lostBy   string        // how its connection ended before its time
	misses   bool          // counted among the room's outstanding
}

// String names the member for an example.
func (m *member) String() string {
	return fmt.Sprintf("room %s member %d", m.room.name, m.index)
}

// live is a member's life once its connection is there or could not be made
// (conn is nil then): it reads, and publishes when it is a publisher, until the
// run is stopping and everything on its way has arrived.
func (m *member) live(ctx context.Context, conn *websocket.Conn, rec *engine.Recorder) {
	var tasks sync.WaitGroup
	if m.publisher != nil {
		m.room.beginPublishing()
	}
	now := m.plan.run.Clock.Now()
	if conn != nil {
		m.open(conn)
		m.room.join(m, now, time.Duration(m.plan.room.Settle))
	}
	if conn != nil && !m.stalled {
		tasks.Go(func() { m.read(rec) })
	} else {
		m.readErr = errNoReader
		close(m.ended)
	}
	m.room.arrive(now)
	if m.publisher != nil {
		tasks.Go(func() { m.publisher.run(ctx, rec) })
	}
	m.stay(ctx)
	if conn != nil {
		m.close(rec)
	}
	tasks.Wait()
}

var errNoReader = errors.New("member does not read")

// open takes the connection over.
func (m *member) open(conn *websocket.Conn) {
	m.conn = conn
	m.rx, _ = rxtime.From(conn.NetConn()) // the dialer has wrapped it
	m.buf = make([]byte, min(m.plan.room.Payload.Max, 64<<10)+512)
	m.tracks = make([]track, len(m.room.publishers))
	for i := range m.tracks {
		if m.room.publishers[i] != m.publisher {
			m.tracks[i].open(m.plan.share(m.room.index, len(m.room.publishers)))
		}
	}
}

// stay returns when it is time to go: the run is stopping and the room has
// drained, ctx ends, or nothing is left to do for want of a connection.
func (m *member) stay(ctx context.Context) {
	ended := m.ended
	if m.publisher != nil || m.stalled && m.conn != nil {
		ended = nil // its part goes on
	}
	select {
	case <-m.plan.run.Stopping:
	case <-ctx.Done():
		return
	case <-ended:
		return
	}
	if _, complete := m.room.isComplete(); !complete {
		return // nothing was ever published
	}
	select {
	case <-m.room.drained:
	case <-ctx.Done():
	case <-ended:
	}
}

// read takes messages until the connection ends.
func (m *member) read(rec *engine.Recorder) {
	defer close(m.ended)
	for {
		data, err := m.next()
		if err != nil {
			m.readErr = err
			m.endRead(rec)
			m.lose(rec)
			return
		}
		stamp, reads := m.rx.Last()
		r := newReceipt(m.plan.run.Clock, stamp, reads)
		m.arrived(rec, r)
		m.receive(rec, r.at, data)
	}
}

// next returns the next message, in a buffer that the one after it overwrites.
func (m *member) next() ([]byte, error) {
	_, r, err := m.conn.NextReader()
	if err != nil {
		return nil, err
	}
	n := 0
	for {
		k, err := r.Read(m.buf[n:])
		n += k
		switch {
		case err == io.EOF:
			return m.buf[:n], nil
		case err != nil:
			return nil, err
		case n == len(m.buf):
			m.buf = append(m.buf, make([]byte, len(m.buf))...)
		}
	}
}

// arrived is told of the read that completed the frame that receive takes next.
func (m *member) arrived(rec *engine.Recorder, r receipt) {
	if r.read != m.from.read {
		m.endRead(rec)
		m.from = r
		wsReceipts.record(rec.At(r.at), r)
	}
	m.framesInRead++
}

// endRead records what one socket read held.
func (m *member) endRead(rec *engine.Recorder) {
	if m.framesInRead > 1 {
		rec.At(m.from.at).Add(wsCoalesced, m.framesInRead)
		wsReceipts.share(rec.At(m.from.at), m.from, m.framesInRead)
	}
	m.framesInRead = 0
}

// receive accounts for one frame's data that arrived at an offset from the
// run's start. It does not allocate, except for the example of a foreign message.
func (m *member) receive(rec *engine.Recorder, at time.Duration, data []byte) {
	sent, data, stamped := wire.CutStamp(data)
	size := len(data)
	ours := false
	for {
		msg, rest, ok := nextMessage(data)
		if !ok {
			break
		}
		data = rest
		if msg.run == m.plan.mark && m.deliver(rec, at, msg, size) {
			if stamped && !ours {
				m.lag(rec.At(m.plan.run.Clock.FromUnix(msg.planned)), at, m.plan.run.Clock.FromUnix(sent))
			}
			ours = true
			size = 0 // a frame's bytes count once
		}
	}
	if !ours {
		rec.At(at).Add(wsForeign, 1)
	}
}

// lag records what the relay's own stamp says of a frame received at an instant.
func (m *member) lag(rec *engine.Recorder, at, sent time.Duration) {
	lag := at - sent
	if lag < 0 {
		rec.Add(wsLagNegative, 1)
		lag = 0
	}
	rec.Record(wsDeliveryLag, int64(lag))
}

// deliver accounts for one message of this run; false when it is another room's.
func (m *member) deliver(rec *engine.Recorder, at time.Duration, msg roomMessage, size int) bool {
	if msg.room != m.room.index {
		rec.At(at).Error("message of another room", fmt.Sprintf("%v got message %d of room %d", m, msg.seq, msg.room))
		return false
	}
	if msg.publisher >= len(m.tracks) {
		return false
	}
	planned := m.plan.run.Clock.FromUnix(msg.planned)
	rec = rec.At(planned)
	rec.Add(wsBytesIn, int64(size))
	t := &m.tracks[msg.publisher]
	if msg.publisher == m.index {
		rec.Add(wsUnexpected, 1)
		return true
	}
	if msg.seq >= t.capacity() {
		return false
	}
	switch t.arrive(msg.seq) {
	case arrivalUnexpected:
		rec.Add(wsUnexpected, 1)
		return true
	case arrivalDuplicate:
		rec.Add(wsDuplicated, 1)
		return true
	case arrivalReordered:
		rec.Add(wsReordered, 1)
	case arrivalInOrder:
	}
	measured := m.plan.measured(planned)
	m.received += count(measured)
	rec.Add(wsReceived, 1)
	rec.Record(wsFanout, int64(at-planned))
	if latest, complete := m.room.publishers[msg.publisher].slots.arrive(msg.seq, at); complete {
		rec.Record(wsSpread, int64(latest-planned))
		rec.Add(wsComplete, 1)
		m.room.messagesComplete.Add(count(measured))
	}
	if m.got.Add(1) >= m.target.Load() {
		m.room.satisfied(m)
	}
	return true
}

// lose notes the end of the connection, unless the member has left already.
func (m *member) lose(rec *engine.Recorder) {
	err := m.readErr
	if failed := m.failedWrite.Load(); failed != nil && classOf(err) == classTimeout {
		err = *failed // the reader was only told to stop
	}
	class, example := connectionEnd(err)
	if !m.room.leave(m, class) {
		return
	}
	_ = m.conn.Close() // it is lost already
	rec.Whole().Add(wsConnectionsLost, 1)
	rec.Whole().Error(class, fmt.Sprintf("%v: %s", m, example))
}

// writeFailed ends a connection that cannot be written to any more. The reader
// is left a moment to learn the peer's reason.
func (m *member) writeFailed(err error) {
	if errors.Is(err, websocket.ErrCloseSent) {
		return // the reader has seen the peer's close
	}
	m.failedWrite.CompareAndSwap(nil, &err)
	_ = m.conn.SetReadDeadline(time.Now().Add(closeWait)) // an error says that the reader has ended
}

// connectionEnd is the class and the text of how a connection ended: with the
// peer's close code, 1006 where it went without one, or with the error.
func connectionEnd(err error) (class, example string) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return "connection closed " + strconv.Itoa(closed.Code), excerpt(err.Error())
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		return "message too big", excerpt(err.Error())
	}
	return classify(err)
}

// close leaves the room and closes the connection: close frame 1000, the peer's
// answer, end. What arrives before the answer still counts.
func (m *member) close(rec *engine.Recorder) {
	if !m.room.leave(m, "") {
		<-m.ended // lost before: the reader has closed it
		return
	}
	deadline := time.Now().Add(closeWait)
	err := m.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline)
	if m.stalled {
		_ = m.conn.Close() // who never reads waits for no answer
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	answered := true
	select {
	case <-m.ended:
	case <-timer.C:
		answered = false
	}
	_ = m.conn.Close() // the peer's answer tells whether it was clean
	<-m.ended
	var closed *websocket.CloseError
	if answered && errors.As(m.readErr, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return
	}
	rec.Whole().Add(wsUncleanCloses, 1)
	why := "no answer within " + closeWait.String()
	switch {
	case answered:
		why = m.readErr.Error()
	case err != nil:
		why = err.Error()
	}
	rec.Whole().Error("unclean close", fmt.Sprintf("%v: %s", m, excerpt(why)))
}
