package driver

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/wire"
)

// newTestRoom returns one room whose members are driven by hand, with the plan
// of a run from 0 to an hour and no warm-up.
func newTestRoom(size, publishers int, warmup time.Duration) *room {
	plan := &roomPlan{
		room: &scenario.Room{Publish: 1, Publishers: publishers},
		run:  engine.Run{Clock: engine.NewClock(), Warmup: warmup, End: time.Hour},
		mark: 42,
	}
	return newRoom(0, "room", size, publishers, plan)
}

// joinByHand does what a connection would do for m.
func joinByHand(m *member, now, settle time.Duration) {
	m.tracks = make([]track, len(m.room.publishers))
	for i := range m.tracks {
		m.tracks[i].open(m.plan.share(0, len(m.room.publishers)))
	}
	m.room.join(m, now, settle)
}

// However members join, settle, leave, come back and lose messages, and whatever
// becomes of writes that fail, what the publishers expect is what the receivers got and miss.
func TestRoomBalancesUnderChurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const warmup, step = 20 * time.Second, time.Second
		size := rapid.IntRange(1, 6).Draw(t, "size")
		r := newTestRoom(size, rapid.IntRange(1, size).Draw(t, "publishers"), warmup)
		rec := engine.NewRecorder(wsMetrics(), warmup)
		now := time.Duration(0)
		deliver := func(p *publisher, seq int64, planned time.Duration) {
			for _, m := range r.members {
				if m.presence == absent || m.presence == gone || rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
					continue
				}
				for range 1 + rapid.IntRange(0, 9).Draw(t, "duplicates")/9 {
					m.deliver(rec, now, roomMessage{
						run: 42, publisher: p.index, seq: seq, planned: m.plan.run.Clock.Unix(planned),
					}, 100)
				}
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			now += step
			m := r.members[rapid.IntRange(0, size-1).Draw(t, "member")]
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				settle := time.Duration(rapid.IntRange(0, 10).Draw(t, "settle")) * step
				switch m.presence {
				case absent:
					joinByHand(m, now, settle)
				case gone:
					m.habit()
					r.rejoin(m, nil, now, settle)
				}
			case 1:
				if rapid.Bool().Draw(t, "in order") {
					r.retire(m)
					continue
				}
				r.leave(m, rapid.SampledFrom([]string{"", "connection reset"}).Draw(t, "why"))
			default:
				p := m.publisher
				if p == nil {
					continue
				}
				measured := m.plan.measured(now)
				seq, expected, ok := r.reserve(p, now, measured)
				switch {
				case !ok:
				case rapid.IntRange(0, 9).Draw(t, "write fails") == 0:
					unsent := rapid.Bool().Draw(t, "unsent")
					r.doubt(p, expected, unsent)
					if !unsent && rapid.Bool().Draw(t, "gets through") {
						deliver(p, seq, now)
					}
				default:
					if measured {
						p.expected += int64(expected)
						p.deliverable += count(expected > 0)
					}
					deliver(p, seq, now)
				}
			}
		}
		got := r.tally()
		var lost int64
		for _, l := range got.lost {
			lost += l.messages
		}
		if got.expected != got.received+lost {
			t.Fatalf("expected %d, received %d + lost %d", got.expected, got.received, lost)
		}
		if got.incomplete < 0 {
			t.Fatalf("%d incomplete messages", got.incomplete)
		}
	})
}

func TestRoomLossIsAttributed(t *testing.T) {
	r := newTestRoom(4, 1, 0)
	for _, m := range r.members {
		joinByHand(m, 0, 0)
	}
	rec := engine.NewRecorder(wsMetrics(), 0)
	p := r.publishers[0]
	for seq := range int64(10) {
		if got, expected, ok := r.reserve(p, time.Second, true); got != seq || expected != 3 || !ok {
			t.Fatalf("reserve = %d, %d, %v", got, expected, ok)
		}
		p.expected += 3
		p.deliverable++
		for _, m := range r.members[1:3] {
			if seq != 2 && seq < 6 { // 2 on the way, the rest at the end
				m.deliver(rec, time.Second, roomMessage{run: 42, seq: seq, planned: r.members[0].plan.run.Clock.Unix(time.Second)}, 0)
			}
		}
	}
	r.leave(r.members[1], "connection closed 1013")
	r.members[3].stalled = true
	got := r.tally()
	want := []loss{
		{r.members[1], r.members[0], 1, lostUnexplained},
		{r.members[1], r.members[0], 4, "lost: connection closed 1013"},
		{r.members[2], r.members[0], 5, lostUnexplained},
		{r.members[3], r.members[0], 10, lostStalled},
	}
	var merged []loss // of one receiver and reason
	for _, l := range got.lost {
		if n := len(merged); n > 0 && merged[n-1].receiver == l.receiver && merged[n-1].why == l.why {
			merged[n-1].messages += l.messages
			continue
		}
		merged = append(merged, l)
	}
	if len(merged) != len(want) {
		t.Fatalf("losses %v", merged)
	}
	for i, l := range merged {
		if l != want[i] {
			t.Errorf("loss %d: %v of %v, %q, expected %v of %v, %q", i, l.messages, l.receiver, l.why, want[i].messages, want[i].receiver, want[i].why)
		}
	}
	if got.expected != 30 || got.received != 10 || got.incomplete != 10 {
		t.Errorf("tally %+v", got)
	}
}

func TestRoomDrains(t *testing.T) {
	drained := func(r *room) bool {
		select {
		case <-r.drained:
			return true
		default:
			return false
		}
	}
	r := newTestRoom(3, 1, 0)
	for _, m := range r.members {
		joinByHand(m, 0, 0)
	}
	rec := engine.NewRecorder(wsMetrics(), 0)
	r.beginPublishing()
	if _, _, ok := r.reserve(r.publishers[0], time.Second, true); !ok {
		t.Fatal("reserve refused")
	}
	get := func(m *member) {
		m.deliver(rec, time.Second, roomMessage{run: 42, planned: m.plan.run.Clock.Unix(time.Second)}, 0)
	}
	get(r.members[1])
	r.endPublishing()
	if drained(r) {
		t.Error("drained while a member misses a message")
	}
	get(r.members[2])
	if !drained(r) {
		t.Error("not drained when all is received")
	}

	r = newTestRoom(3, 1, 0)
	for _, m := range r.members {
		joinByHand(m, 0, 0)
	}
	r.members[1].stalled = true
	r.beginPublishing()
	r.reserve(r.publishers[0], time.Second, true)
	r.endPublishing()
	if drained(r) {
		t.Error("drained while a member misses a message")
	}
	r.leave(r.members[2], "connection reset")
	if !drained(r) {
		t.Error("not drained when those who miss something are gone or never read")
	}
}

func TestPhasesKeepRoomsApart(t *testing.T) {
	const rooms = 50
	plan := &roomPlan{room: &scenario.Room{Publish: 2}, run: engine.Run{End: time.Minute}, draws: 3 << 62}
	interval := 500 * time.Millisecond
	var phases []time.Duration
	for i := range rooms {
		s := plan.schedule(i)
		first, ok := s.Next()
		second, _ := s.Next()
		if !ok || first < 0 || first >= interval || second-first != interval {
			t.Fatalf("room %d publishes at %v and %v", i, first, second)
		}
		for j, other := range phases {
			apart := (first - other).Abs()
			if apart = min(apart, interval-apart); apart < interval/rooms/3 {
				t.Errorf("rooms %d and %d publish %v apart", i, j, apart)
			}
		}
		phases = append(phases, first)
	}
}

// receiver is a room of two with a receiver ready for n messages.
func receiver(n int64) (*publisher, *member) {
	r := newTestRoom(2, 1, 0)
	r.publishers[0].slots.open(n)
	m := r.members[1]
	m.tracks = make([]track, 1)
	m.tracks[0].open(n)
	joinByHand(r.members[0], 0, 0)
	m.room.join(m, 0, 0)
	return r.publishers[0], m
}

// Parsing a message and accounting for it allocates nothing.
func TestReceiveDoesNotAllocate(t *testing.T) {
	const n = 2000
	p, m := receiver(n)
	rec := engine.NewRecorder(wsMetrics(), 0)
	planned := m.plan.run.Clock.Unix(time.Second)
	var frames [][]byte
	for range n {
		seq, _, _ := p.room.reserve(p, time.Second, true)
		frames = append(frames, appendMessage(wire.AppendStamp(nil, time.Unix(0, planned)), roomMessage{run: 42, seq: seq, planned: planned}, 256))
	}
	foreign := []byte(`{"event":"presence"}`)
	next := 0
	allocs := testing.AllocsPerRun(n-1, func() {
		m.receive(rec, time.Second, frames[next])
		m.receive(rec, time.Second, frames[next]) // a duplicate
		m.receive(rec, time.Second, foreign)
		next++
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a message, its duplicate and a foreign one", allocs)
	}
	if m.received != n {
		t.Errorf("received %d of %d", m.received, n)
	}
}

// Where the relay says when it wrote a frame, that is held against its receipt:
// once a frame, with a warm-up's thrown away, and below 0 as 0.
func TestReceiveStampedFrames(t *testing.T) {
	p, m := receiver(4)
	rec := engine.NewRecorder(wsMetrics(), time.Second)
	clock := m.plan.run.Clock
	for _, planned := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
		seq, _, _ := p.room.reserve(p, planned, true)
		sent := planned + 10*time.Millisecond
		frame := wire.AppendStamp(nil, time.Unix(0, clock.Unix(sent)))
		frame = appendMessage(frame, roomMessage{run: 42, seq: seq, planned: clock.Unix(planned)}, 256)
		received := sent + 3*time.Millisecond
		if planned == 2*time.Second {
			received = sent - time.Millisecond // by another clock
		}
		m.receive(rec, received, frame)
	}
	seq, _, _ := p.room.reserve(p, 3*time.Second, true)
	m.receive(rec, 4*time.Second, appendMessage(nil, roomMessage{run: 42, seq: seq, planned: clock.Unix(3 * time.Second)}, 256))

	metrics, _, _ := rec.Collect()
	lag := metrics[wsDeliveryLag].Distribution
	if lag.Count != 2 || lag.Min != 0 || lag.OutOfRange != 0 || lag.Max < int64(3*time.Millisecond) || lag.Max > int64(3*time.Millisecond)*1001/1000 {
		t.Errorf("lags %+v, want 0 and 3 ms", lag)
	}
	for id, want := range map[engine.MetricID]float64{wsLagNegative: 1, wsReceived: 3} {
		if got := metrics[id]; got.Value != want {
			t.Errorf("%s = %v, want %v", got.Name, got.Value, want)
		}
	}
}

// Parsing and accounting alone.
func BenchmarkReceive(b *testing.B) {
	const batch = 1 << 14
	rec := engine.NewRecorder(wsMetrics(), 0)
	var p *publisher
	var m *member
	frames := make([][]byte, batch)
	next := batch
	b.ReportAllocs()
	for b.Loop() {
		if next == batch {
			b.StopTimer()
			p, m = receiver(batch)
			planned := m.plan.run.Clock.Unix(time.Second)
			for i := range frames {
				seq, _, _ := p.room.reserve(p, time.Second, true)
				frames[i] = appendMessage(frames[i][:0], roomMessage{run: 42, seq: seq, planned: planned}, 256)
			}
			next = 0
			b.StartTimer()
		}
		m.receive(rec, time.Second, frames[next])
		next++
	}
}

// wiredRoom is a room of two, a publisher and a receiver, ready for n messages,
// on connections of their own: what far has of each is the server's end.
func wiredRoom(tb testing.TB, n int64) (p *publisher, m *member, far [2]*net.TCPConn) {
	tb.Helper()
	p, m = receiver(n)
	p.member.plan.writeLimit = time.Minute
	p.member.plan.room.Payload = scenario.SizeDist{Min: 128, Max: 256}
	p.sizes = rand.New(rand.NewPCG(1, 2))
	d := newDialer(time.Minute, nil)
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		d.close()
		_ = l.Close()
	})
	for i, member := range []*member{p.member, m} {
		near, err := d.dial(tb.Context(), "tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		if far[i], err = l.AcceptTCP(); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = far[i].Close() })
		if member.conn, err = newWSConn(near, nil, 1<<20); err != nil {
			tb.Fatal(err)
		}
	}
	return p, m, far
}

// textFrame is a message in the frame a server would send it in.
func textFrame(b []byte, msg roomMessage, size int) []byte {
	b = append(b, 0x81, 126, byte(size>>8), byte(size))
	return appendMessage(b, msg, size)
}

// A message allocates nothing on its whole way from the socket to the figures:
// read, unframed, parsed, accounted for.
func TestTakeDoesNotAllocate(t *testing.T) {
	const n = 2000
	p, m, far := wiredRoom(t, n)
	rec := engine.NewRecorder(wsMetrics(), 0)
	planned := m.plan.run.Clock.Unix(0)
	frames := make([]byte, 0, 4096)
	next := func() {
		seq, _, _ := p.room.reserve(p, time.Second, true)
		msg := roomMessage{run: 42, seq: seq, planned: planned}
		frames = textFrame(frames[:0], msg, 256)
		frames = textFrame(frames, msg, 256) // a duplicate in the same read
	}
	allocs := testing.AllocsPerRun(n-1, func() {
		next()
		// One write before the other is read: the second cuts a frame in two.
		for _, part := range [][]byte{frames[:300], frames[300:]} {
			if _, err := far[1].Write(part); err != nil {
				t.Fatal(err)
			}
			if err := m.take(rec); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a message and its duplicate", allocs)
	}
	metrics, _, _ := rec.Collect()
	if m.received != n || metrics[wsDuplicated].Value != n || metrics[wsFanout].Distribution.Count != n {
		t.Errorf("received %d of %d, %v duplicates, %d samples of fanout", m.received, n, metrics[wsDuplicated].Value, metrics[wsFanout].Distribution.Count)
	}
}

// Neither does one on its way out: reserved, made, framed, written, stamped,
// recorded.
func TestPublishDoesNotAllocate(t *testing.T) {
	const n = 3 * slotsPerChunk
	p, _, far := wiredRoom(t, n+1)
	rec := engine.NewRecorder(wsMetrics(), 0)
	sent := make([]byte, 4096)
	allocs := testing.AllocsPerRun(n, func() {
		p.publish(t.Context(), rec, time.Second)
		if _, err := far[0].Read(sent); err != nil {
			t.Fatal(err)
		}
		p.slots.arrive(p.reserved-1, time.Second) // its receiver has it
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a message published", allocs)
	}
	metrics, errs, _ := rec.Collect()
	for _, id := range []engine.MetricID{wsPublishLateness, wsPublishWrite, wsSendLag} {
		if got := metrics[id].Distribution.Count; got != n+1 {
			t.Errorf("%d samples of %s for %d messages", got, metrics[id].Name, n+1)
		}
	}
	if metrics[wsPublished].Value != n+1 || metrics[wsBytesOut].Value < n*128 || len(errs) > 0 {
		t.Errorf("%v published, %v bytes, errors %v", metrics[wsPublished].Value, metrics[wsBytesOut].Value, errs)
	}
}

// A message's whole way from the socket: read, unframed, parsed, accounted for.
func BenchmarkTake(b *testing.B) {
	const batch = 1 << 14
	_, m, far := wiredRoom(b, batch)
	rec := engine.NewRecorder(wsMetrics(), 0)
	planned := m.plan.run.Clock.Unix(time.Second)
	more := make(chan []byte)
	var writing sync.WaitGroup
	writing.Go(func() {
		for frames := range more {
			if _, err := far[1].Write(frames); err != nil {
				b.Error(err)
			}
		}
	})
	var frames []byte
	next := batch
	b.ReportAllocs()
	b.SetBytes(256)
	for b.Loop() {
		if next == batch {
			b.StopTimer()
			p, fresh := receiver(batch)
			fresh.conn = m.conn
			m = fresh
			frames = frames[:0]
			for range batch {
				seq, _, _ := p.room.reserve(p, time.Second, true)
				frames = textFrame(frames, roomMessage{run: 42, seq: seq, planned: planned}, 256)
			}
			next = 0
			b.StartTimer()
			more <- frames
		}
		if err := m.take(rec); err != nil {
			b.Fatal(err)
		}
		next++
	}
	for ; next < batch; next++ { // so that the writer is done with the frames
		if err := m.take(rec); err != nil {
			b.Fatal(err)
		}
	}
	close(more)
	writing.Wait()
}
