package driver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/frame"
	"github.com/edgeload/edgeload/internal/loadgen/pace"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A roomPlan is what all rooms of a workload have in common.
type roomPlan struct {
	run        engine.Run
	room       *scenario.Room
	mark       uint64 // of this run and workload's messages
	draws      uint64 // seeds what is drawn: the rooms' phases and the messages' sizes
	writeLimit time.Duration
	speech     speech // nil where a message is a frame, and nothing else is said
	storm      *storm // nil for none
}

// schedule returns the planned publish instants of room index, from the run's
// start to its end. Rooms have the same rate and different phases: successive
// multiples of the golden ratio keep any number of them apart.
func (p *roomPlan) schedule(index int) *pace.Schedule {
	rate := float64(p.room.Publish)
	if rate <= 0 {
		return pace.Constant(0, 0, 0, 0)
	}
	golden := (math.Sqrt(5) - 1) / 2
	_, turn := math.Modf(float64(p.draws>>11)/(1<<53) + float64(index)*golden)
	return pace.Constant(rate, 0, p.run.End, time.Duration(turn/rate*float64(time.Second)))
}

// measured reports whether what is planned at t counts.
func (p *roomPlan) measured(t time.Duration) bool { return t >= p.run.Warmup && t < p.run.End }

// A publisher sends its share of a room's messages at their planned instants,
// whatever has become of those before. One goroutine runs it.
type publisher struct {
	room   *room
	member *member
	index  int
	slots  slots
	sizes  *rand.Rand
	wrap   wrapping      // around a message; empty where the message is all
	buf    []byte        // the message
	said   []byte        // the message as the relay wants it
	framed []byte        // that in its frame
	free   time.Duration // when the write before this one returned

	// Of the message reserved last.
	conn   *wsConn
	prompt int // its receivers that do not read slowly

	// Under the room's lock.
	reserved     int64 // sequence numbers given out
	measuredFrom int64 // the first of the measured part; unset while there is none
	// A write that failed may have got through all the same; the connection is
	// done with after it, so there is at most one for each connection.
	doubts []doubt
	broken bool // the latest connection is done with
	hushed bool // the storm is about to cut it

	// The publisher's own until it has ended; of the measured part.
	expected    int64 // deliveries
	deliverable int64 // messages with at least one receiver
}

// A doubt is a message whose write failed.
type doubt struct {
	seq              int64
	expected, prompt int  // deliveries
	unsent           bool // nothing of it was written
}

func newPublisher(r *room, m *member, index int) *publisher {
	return &publisher{room: r, member: m, index: index, measuredFrom: unset}
}

// share is how many messages one publisher of room index sends at most.
func (p *roomPlan) share(index, publishers int) int64 {
	n, _ := p.schedule(index).Count()
	return int64(n)/int64(publishers) + 1
}

// run publishes until the end of the run. What was due before Stopping is still
// sent after it; when ctx ends too, it has failed.
func (p *publisher) run(ctx context.Context, rec *engine.Recorder) {
	defer p.room.endPublishing()
	plan := p.member.plan
	select {
	case <-p.room.complete:
	case <-plan.run.Stopping:
	case <-ctx.Done():
	}
	begin, complete := p.room.isComplete()
	if !complete {
		begin = plan.run.End
	}
	p.sizes = rand.New(rand.NewPCG(plan.draws, uint64(p.room.index)<<32+uint64(p.index)))
	due := newDue(plan.run)
	schedule := plan.schedule(p.room.index)
	for turn := 0; ; turn++ {
		planned, ok := schedule.Next()
		if !ok {
			return
		}
		if turn%len(p.room.publishers) != p.index {
			continue
		}
		if planned < begin {
			if due.stopped(planned) {
				return
			}
			rec.At(planned).Add(wsPublishUnplanned, 1)
			continue
		}
		if !due.wait(ctx, planned) {
			return
		}
		p.publish(ctx, rec.At(planned), planned)
	}
}

// publish sends one message, or counts it as failed.
func (p *publisher) publish(ctx context.Context, rec *engine.Recorder, planned time.Duration) {
	m, plan := p.member, p.member.plan
	begin := plan.run.Clock.Now()
	if ctx.Err() != nil {
		p.fail(rec, "cut at the end of the drain", planned)
		return
	}
	measured := plan.measured(planned)
	seq, expected, ok := p.room.reserve(p, begin, measured)
	if !ok {
		p.fail(rec, p.room.absence(m), planned)
		return
	}
	p.buf = appendMessage(p.buf[:0], roomMessage{
		run: plan.mark, room: p.room.index, publisher: p.index, seq: seq,
		planned: plan.run.Clock.Unix(planned),
	}, plan.room.Payload.Draw(p.sizes))

	said := p.buf
	if len(p.wrap) > 0 {
		p.said = p.wrap.append(p.said[:0], p.buf, m.habits.voice.nextRef())
		said = p.said
	}

	begin = plan.run.Clock.Now()
	due := max(planned, p.free)
	rec.Record(wsPublishLateness, int64(max(0, begin-due)))
	err := p.write(said)
	p.free = plan.run.Clock.Now()
	if err != nil {
		p.room.doubt(p, expected, errors.Is(err, errSevered))
		p.conn.giveUp(err)
		return
	}
	rec.Record(wsPublishWrite, int64(p.free-begin))
	p.sent(rec, due)
	rec.Add(wsPublished, 1)
	rec.Add(wsBytesOut, int64(len(p.buf)))
	rec.Add(wsExpected, int64(expected))
	rec.Add(wsSlowExpected, int64(expected-p.prompt))
	if measured {
		p.expected += int64(expected)
		p.deliverable += count(p.prompt > 0)
	}
}

// write puts the message on the connection, as one frame. The deadline keeps a
// peer that has stopped reading from holding the publisher for good.
func (p *publisher) write(said []byte) error {
	kind := frame.Text
	if p.member.plan.room.Binary {
		kind = frame.Binary
	}
	p.framed = frame.Append(p.framed[:0], kind, maskKey(), said)
	return p.conn.writeFrame(p.framed, time.Now().Add(p.member.plan.writeLimit))
}

// sent records when the message just written had left that was due at an
// instant. A pong that the reader sends in between may be taken for it, which is
// as late.
func (p *publisher) sent(rec *engine.Recorder, due time.Duration) {
	stamp, _ := p.conn.rx.LastSent()
	rec.Record(wsSendLag, int64(max(0, p.member.plan.run.Clock.Since(stamp.At)-due)))
	if !stamp.Kernel {
		rec.Add(wsUnstampedSends, 1)
	}
}

// fail counts a message that was due and could not be sent.
func (p *publisher) fail(rec *engine.Recorder, why string, planned time.Duration) {
	rec.Add(wsPublishFailed, 1)
	rec.Error("publish failed: "+why, fmt.Sprintf("%v, planned at %v", p.member, planned))
}

// doubt notes that the write of p's latest message failed.
func (r *room) doubt(p *publisher, expected int, unsent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.doubts = append(p.doubts, doubt{seq: p.reserved - 1, expected: expected, prompt: p.prompt, unsent: unsent})
	if p.conn == p.member.conn { // and not that before it
		p.broken = true
	}
}

// unsent counts the numbers of [from, to) that were given out and never written.
func (p *publisher) unsent(from, to int64) (n int64) {
	for _, d := range p.doubts {
		n += count(d.unsent && from <= d.seq && d.seq < to)
	}
	return n
}

// absence says why m has no connection.
func (r *room) absence(m *member) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case m.lostBy != "":
		return m.lostBy
	case m.habits != nil && m.habits.mustered:
		return cutByStorm
	case m.publisher.broken:
		return "write failed"
	}
	return "never connected"
}

// due waits for planned instants until the run stops.
type due struct {
	run   engine.Run
	timer *engine.Timer
	cut   time.Duration // when the stop was noticed; what is due from then on is not sent
}

func newDue(run engine.Run) *due {
	return &due{run: run, timer: run.NewTimer(), cut: unset}
}

// stopped reports whether the run stopped before t.
func (d *due) stopped(t time.Duration) bool {
	if d.cut == unset {
		select {
		case <-d.run.Stopping:
			d.cut = d.run.Clock.Now()
		default:
		}
	}
	return t >= d.cut
}

// wait waits for t and reports false when the run stops before it.
func (d *due) wait(ctx context.Context, t time.Duration) bool {
	if d.stopped(t) {
		return false
	}
	if d.timer.Wait(ctx, t, d.run.Stopping) {
		return true
	}
	return ctx.Err() == nil && !d.stopped(t)
}
