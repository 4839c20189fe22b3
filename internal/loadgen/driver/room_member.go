package driver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/frame"
	"github.com/edgeload/edgeload/internal/wire"
)

// closeWait bounds the close of a connection: until then the peer may answer
// the close frame.
const closeWait = time.Second

// underWay is how long a message may have been under way, counted from its planned
// instant, that reaches a member which has joined since.
const underWay = 5 * time.Second

// A member is one user in a room: a connection, what it has received, and the
// publisher when it is one.
type member struct {
	room      *room
	plan      *roomPlan
	index     int
	publisher *publisher // nil when it only receives
	stalled   bool       // never reads
	slow      bool       // reads slowly
	lived     atomic.Bool
	habits    *habits // nil for one that joins, stays and reads, as thousands do

	conn   *wsConn
	tracks []track // by publisher; its own stays empty

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

// enter makes m what its connection, nil where it could not be made, allows.
func (m *member) enter(conn *wsConn) {
	if m.publisher != nil {
		m.room.beginPublishing()
	}
	now := m.plan.run.Clock.Now()
	if conn != nil {
		m.open(conn)
		m.room.join(m, now, time.Duration(m.plan.room.Settle))
	}
	m.room.arrive(now)
}

// open takes the first connection over.
func (m *member) open(conn *wsConn) {
	m.conn = conn
	m.tracks = make([]track, len(m.room.publishers))
	for i := range m.tracks {
		if m.room.publishers[i] != m.publisher {
			m.tracks[i].open(m.plan.share(m.room.index, len(m.room.publishers)))
		}
	}
	if m.slow {
		conn.in = newSlowReader(conn.in, int(m.plan.room.Slow.Read), m.room.dismissed)
	}
}

// live is a member's life from its entry: it reads, and publishes when it is a
// publisher, until it is dismissed and has taken its leave. The first of a room
// also sees to that.
func (m *member) live(ctx context.Context, rec *engine.Recorder) {
	first := !m.room.kept.Swap(true)
	if !first && m.publisher == nil {
		m.hold(ctx, rec) // what thousands do, on a small stack
		return
	}
	var duties sync.WaitGroup
	defer duties.Wait()
	if first {
		duties.Go(func() { m.room.keep(ctx, m.plan.run.Stopping) })
	}
	if m.publisher != nil {
		duties.Go(func() { m.publisher.run(ctx, rec) })
	}
	m.hold(ctx, rec)
}

// hold holds the connection, if there is one, and those that come after it, to
// their end.
func (m *member) hold(ctx context.Context, rec *engine.Recorder) {
	if m.conn == nil {
		return
	}
	for {
		end := ended
		if m.stalled {
			<-m.room.dismissed
			m.room.leave(m, "")
			_ = m.sayGoodbye(time.Now().Add(closeWait)) // who never reads waits for no answer
		} else {
			end = m.read(rec)
		}
		_ = m.conn.Close() // nothing is owed any more
		if end == ended || !m.comeBack(ctx, rec, end) {
			return
		}
	}
}

// A stayEnd is how a stay ended.
type stayEnd uint8

const (
	ended stayEnd = iota // for good
	left                 // to come back
	swept                // away by the storm, to come back at once
)

// read takes messages until the connection ends. Once the member is dismissed it
// leaves the room and closes: close frame 1000, the peer's answer, end. What
// arrives before the answer still counts. Its read deadline wakes it for whatever
// else it does.
func (m *member) read(rec *engine.Recorder) stayEnd {
	if m.habits != nil {
		m.settleIn(rec)
	}
	for {
		err := m.take(rec)
		switch {
		case err == nil:
			continue
		case classOf(err) == classTimeout && m.room.isDismissed():
			m.room.leave(m, "")
			m.close(rec)
			return ended
		case classOf(err) == classTimeout && m.habits != nil && m.conn.failedWrite.Load() == nil:
			if end, over := m.wakeUp(rec); over {
				return end
			}
			continue
		}
		m.endRead(rec)
		m.lose(rec, err)
		return ended
	}
}

// take takes one message.
func (m *member) take(rec *engine.Recorder) error {
	data, err := m.conn.next()
	if err != nil {
		return err
	}
	stamp, reads := m.conn.rx.Last()
	r := newReceipt(m.plan.run.Clock, stamp, reads)
	m.arrived(rec, r)
	m.receive(rec, r.at, data)
	if m.habits != nil {
		return m.habits.expelled
	}
	return nil
}

// arrived is told of the read that completed the frame that receive takes next.
func (m *member) arrived(rec *engine.Recorder, r receipt) {
	if r.read != m.from.read {
		m.endRead(rec)
		m.from = r
		if !m.slow { // whose delay is the scenario's
			wsReceipts.record(rec.At(r.at), r)
		}
	}
	m.framesInRead++
}

// endRead records what one socket read held.
func (m *member) endRead(rec *engine.Recorder) {
	if m.framesInRead > 1 && !m.slow {
		rec.At(m.from.at).Add(wsCoalesced, m.framesInRead)
		wsReceipts.share(rec.At(m.from.at), m.from, m.framesInRead)
	}
	m.framesInRead = 0
}

// receive accounts for one frame's data that arrived at an offset from the
// run's start. It does not allocate, except for the example of a foreign message.
func (m *member) receive(rec *engine.Recorder, at time.Duration, data []byte) {
	sent, data, stamped := wire.CutStamp(data)
	whole := data
	size := len(data)
	ours, any := false, false
	for {
		msg, rest, ok := nextMessage(data)
		if !ok {
			break
		}
		data, any = rest, true
		if msg.run == m.plan.mark && m.deliver(rec, at, msg, size) {
			if stamped && !ours {
				m.lag(rec.At(m.plan.run.Clock.FromUnix(msg.planned)), at, m.plan.run.Clock.FromUnix(sent))
			}
			ours = true
			size = 0 // a frame's bytes count once
		}
	}
	if s := m.plan.speech; s != nil && (!any || s.batches()) {
		m.hear(rec, at, whole)
		ours = ours || !any // it is the relay's
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
	joined := m.settled - time.Duration(m.plan.room.Settle)
	if msg.publisher == m.index {
		switch {
		case m.plan.room.Echo:
			rec.Add(wsEchoed, 1)
		case planned < joined && planned >= joined-underWay: // by the connection before
			rec.Add(wsUndecided, 1)
		default:
			rec.Add(wsUnexpected, 1)
		}
		return true
	}
	if msg.seq >= t.capacity() {
		return false
	}
	switch t.arrive(msg.seq) {
	case arrivalUnexpected:
		if planned < joined-underWay { // it joined long after
			rec.Add(wsUnexpected, 1)
		} else {
			rec.Add(wsUndecided, 1)
		}
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
	if m.slow {
		rec.Add(wsSlowReceived, 1)
		rec.Record(wsSlowFanout, int64(max(at, m.from.returned)-planned))
		return true
	}
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

// lose notes the end of a connection before its time.
func (m *member) lose(rec *engine.Recorder, err error) {
	if failed := m.conn.failedWrite.Load(); failed != nil && classOf(err) == classTimeout {
		err = *failed // the reader was only told to stop
	}
	class, example := connectionEnd(err)
	m.room.leave(m, class)
	rec.Whole().Add(wsConnectionsLost, 1)
	rec.Whole().Error(class, fmt.Sprintf("%v: %s", m, example))
}

// interrupt ends the wait of the reader, which finds that it is dismissed. A
// connection that is gone already has no reader.
func (m *member) interrupt() {
	_ = m.conn.SetReadDeadline(time.Unix(1, 0))
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
	var said *relayError
	if errors.As(err, &said) {
		return said.class, excerpt(err.Error())
	}
	return classify(err)
}

// close says goodbye and waits for the peer to do likewise.
func (m *member) close(rec *engine.Recorder) {
	deadline := time.Now().Add(closeWait)
	unsent := m.sayGoodbye(deadline)
	err := m.conn.SetReadDeadline(deadline)
	for err == nil {
		if err = m.take(rec); m.habits != nil && err != nil && errors.Is(err, m.habits.expelled) {
			m.habits.expelled, err = nil, nil // as it asked for
		}
	}
	m.endRead(rec)
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return
	}
	why := err.Error()
	if classOf(err) == classTimeout {
		why = "no answer within " + closeWait.String()
		if unsent != nil {
			why = unsent.Error()
		}
	}
	rec.Whole().Add(wsUncleanCloses, 1)
	rec.Whole().Error("unclean close", fmt.Sprintf("%v: %s", m, excerpt(why)))
}

// sayGoodbye sends the close frame, and before it what the relay wants said.
func (m *member) sayGoodbye(deadline time.Time) error {
	if m.plan.speech != nil {
		_ = m.say(m.plan.speech.leave(m.habits.voice), deadline) // the close frame says the same
	}
	return m.conn.writeControl(frame.Close, frame.AppendClose(nil, websocket.CloseNormalClosure, ""), deadline)
}
