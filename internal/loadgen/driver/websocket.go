package driver

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// maxTracked bounds the book-keeping of a workload, in bits: one for each
// planned delivery. 2³² bits are 512 MiB.
const maxTracked = 1 << 32

// webSocketTimeout bounds a connection's set-up, and the write of a message.
const webSocketTimeout = 10 * time.Second

// A webSocket drives rooms. One arrival is one member's life in its room, from
// its intended start to the end of the run; users fill room 0 first.
//
// wsMetrics says what it records. Where a delivery was lost, an error of class
// "lost: …" says why, counted in messages. Connections go to the target itself,
// never through a proxy.
type webSocket struct {
	upgrade  websocket.Dialer
	upgrades sync.Pool // of *upgradeBuffers
	dialer   *dialer
	gate     *gate
	template *upgradeTemplate
	speech   speech // nil where a message is a frame, and nothing else is said
	speaker  speaker
	room     *scenario.Room
	users    int
	timeout  time.Duration

	rooms []*room
	plan  *roomPlan

	stopping context.Context // ends when the run stops, and with the driver
	stop     func()
	watching sync.WaitGroup // for that
}

func newWebSocket(of opening) (engine.Driver, error) {
	w := of.workload
	if w.Room == nil || w.Load.Users < 1 {
		return nil, errors.New("websocket needs room and load.users")
	}
	if w.Room.Members < 1 {
		return nil, fmt.Errorf("room of %d members", w.Room.Members)
	}
	template, err := newUpgradeTemplate(of)
	if err != nil {
		return nil, err
	}
	talk, err := newSpeech(w.Room)
	if err != nil {
		return nil, err
	}
	mouth, err := newSpeaker(w.Room)
	if err != nil {
		return nil, err
	}
	timeout := timeoutOr(w.Timeout, webSocketTimeout)
	d := &webSocket{
		dialer:   dialerFor(w, timeout, "http/1.1"),
		template: template,
		speech:   talk,
		speaker:  mouth,
		room:     w.Room,
		users:    w.Load.Users,
		timeout:  timeout,
	}
	d.gate, d.dialer.gate = d.dialer.gate, nil // whose turn it is has it until the upgrade
	d.upgrade = websocket.Dialer{
		NetDialContext:    d.dialer.dial,
		NetDialTLSContext: d.dialer.dialTLS,
		HandshakeTimeout:  timeout,
		ReadBufferSize:    1, // as little as there is: of the upgrade's answer only
		WriteBufferPool:   &sync.Pool{},
		Subprotocols:      w.Room.Subprotocols,
	}
	return d, nil
}

// Begin makes the rooms. It is an error when their book-keeping would not fit
// in memory.
func (d *webSocket) Begin(run engine.Run) error {
	seed := fnv.New64a()
	_, _ = fmt.Fprint(seed, run.Workload, run.Seed) // a hash takes everything
	d.plan = &roomPlan{
		run:        run,
		room:       d.room,
		mark:       runMark(run.ID, run.Workload, run.Clock.Unix(0)),
		draws:      seed.Sum64(),
		writeLimit: d.timeout,
		speech:     d.speech,
	}
	if messages, _ := d.plan.schedule(0).Count(); float64(messages)*float64(d.users) > maxTracked {
		return fmt.Errorf("%d messages a room to %d members: more than %d planned deliveries", messages, d.users, maxTracked)
	}
	for first := 0; first < d.users; first += d.room.Members {
		index := len(d.rooms)
		name := fmt.Sprintf("%s-%08x-%d", run.Workload, uint32(d.plan.mark>>32), index)
		size := min(d.room.Members, d.users-first)
		d.rooms = append(d.rooms, newRoom(index, name, size, min(max(d.room.Publishers, 1), size), d.plan))
	}
	assign(d.rooms, d.plan)
	d.stopping, d.stop = context.WithCancel(context.Background())
	if d.room.Storm != nil {
		d.plan.storm = newStorm(d.plan, d.rooms)
		d.watching.Go(func() { d.plan.storm.run(d.stopping, run) })
	}
	d.watching.Go(func() {
		select {
		case <-run.Stopping:
			d.stop()
		case <-d.stopping.Done():
		}
	})
	return nil
}

// stall makes n members stalled ones: the last of each room, then the last but
// one of each, and so on.
func stall(rooms []*room, n int) {
	for depth := 1; n > 0 && depth <= len(rooms[0].members); depth++ {
		for _, r := range rooms {
			if n > 0 && depth <= len(r.members) {
				r.members[len(r.members)-depth].stalled = true
				n--
			}
		}
	}
}

// Do connects one member; its life then goes on in a goroutine of its own. A user
// lives once: called again for the same one, Do waits for the end of the run.
//
// Dialling takes a deep stack, which a goroutine keeps: so the one that dials ends
// with it, and what a member holds for the rest of the run is a small one.
func (d *webSocket) Do(ctx context.Context, a engine.Arrival, rec *engine.Recorder, over func(done bool)) {
	m, ok := d.born(ctx, a.User)
	if !ok {
		over(false)
		return
	}
	if h := m.habits; h != nil {
		h.connect = func(ctx context.Context, rec *engine.Recorder, setup engine.MetricID) *wsConn {
			return d.connect(ctx, m, a, rec, setup)
		}
	}
	m.enter(d.connect(ctx, m, a, rec.Whole(), wsSetup))
	go func() {
		m.live(ctx, rec)
		over(m.conn != nil)
	}()
}

// born returns the member that user is, if it is to live now.
func (d *webSocket) born(ctx context.Context, user int) (m *member, ok bool) {
	if user < 0 || user >= d.users {
		return nil, false
	}
	m = d.rooms[user/d.room.Members].members[user%d.room.Members]
	select {
	case <-d.plan.run.Stopping:
		return nil, false
	default:
	}
	if m.lived.Swap(true) {
		select {
		case <-d.plan.run.Stopping:
		case <-ctx.Done():
		}
		return nil, false
	}
	return m, true
}

// End closes the books: it counts what was lost, why, and whether everything
// expected was received or lost.
func (d *webSocket) End(rec *engine.Recorder) {
	rec = rec.Whole()
	var expected, received, lost int64
	for _, r := range d.rooms {
		t := r.tally()
		rec.Add(wsPublished, t.published)
		rec.Add(wsPublishFailed, t.failed)
		rec.Add(wsExpected, t.expectedMore)
		rec.Add(wsSlowExpected, t.slowMore)
		rec.Add(wsStormMissed, t.stormMissed)
		rec.Add(wsIncomplete, t.incomplete)
		for _, l := range t.lost {
			rec.Add(wsLost, l.messages)
			rec.Errors(l.why, l.messages, fmt.Sprintf("%v, published by member %d", l.receiver, l.publisher.index))
			lost += l.messages
		}
		expected += t.expected
		received += t.received
	}
	if len(d.rooms) > 0 {
		rec.Balance("expected = received + lost", expected, received+lost)
	}
	d.stop()
	d.watching.Wait()
	if d.plan.storm != nil {
		d.plan.storm.record(rec)
	}
	d.dialer.close()
	d.rooms = nil // the result is made next, and need not find them in memory
}

// maxMessage bounds a message received, in bytes: a relay may wrap a payload,
// not multiply it.
func (d *webSocket) maxMessage() int64 {
	return int64(min(2*d.room.Payload.Max, math.MaxInt32)) + 1<<20
}
