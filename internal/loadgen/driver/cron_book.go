package driver

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

const (
	// cronGrace is how long after its time an instant is given up: a call that came in
	// time may still be read.
	cronGrace = 100 * time.Millisecond
	// cronRounding is by how much the instant that a call names may differ from that of
	// the schedule: some round to whole seconds.
	cronRounding = time.Second
)

// cronState is what has become of an instant.
type cronState uint8

const (
	cronPlanned cronState = iota // its arrival has not begun
	cronWaiting
	cronWasCalled
	cronWasMissed
	cronWasCut
)

// A cronInstant is one scheduled instant.
type cronInstant struct {
	at      time.Duration    // on the run's clock
	firstAt time.Duration    // when its first call came, where calls > 0
	over    func(bool)       // nil once told
	rec     *engine.Recorder // nil while planned
	calls   uint32
	state   cronState
}

// A cronBook says which instant a call belongs to, and keeps what becomes of instants
// and calls. Any number of goroutines may use it: one lock holds it together, since
// calls are few and their order matters.
type cronBook struct {
	clock         engine.Clock
	warmup, end   time.Duration
	missed, takes time.Duration

	mu       sync.Mutex
	instants []cronInstant // of the run, and those shortly before and after it
	from, to int           // the run's own are instants[from:to]
	given    int           // those before this one are not waited for any more
	cut      bool          // the drain time is over
	ctx      context.Context
	stopCut  func() bool

	begun                     int64 // arrivals, in the measured part
	called, doubled, late     int64 // calls, warm-up included
	unexpected, outside       int64 // the same: for no instant; for one not of the run
	overlapped, unexpectedNow int64 // in the measured part
	unnamed                   int64 // the same
	unexpectedLike            string
	lastCall, longestGap      time.Duration
	busyUntil                 time.Duration
	trend                     trend
}

// newCronBook makes a book of the instants given, in order, for a run to end.
func newCronBook(run engine.Run, instants []time.Duration, missed, takes time.Duration) *cronBook {
	b := &cronBook{
		clock: run.Clock, warmup: run.Warmup, end: run.End, missed: missed, takes: takes,
		instants: make([]cronInstant, len(instants)), lastCall: run.Warmup,
	}
	for i, at := range instants {
		b.instants[i].at = at
	}
	index := func(t time.Duration) int {
		return sort.Search(len(instants), func(i int) bool { return instants[i] >= t })
	}
	b.from, b.to = index(0), index(run.End)
	b.given = b.from
	return b
}

// wait begins the arrival of the run's instant seq; over is told when it has ended.
func (b *cronBook) wait(ctx context.Context, seq uint64, rec *engine.Recorder, over func(bool)) {
	rec.Add(cronInstants, 1)
	b.mu.Lock()
	b.watch(ctx)
	i := b.from + int(seq)
	n := &b.instants[i]
	n.rec, n.over, n.state = rec, over, cronWaiting
	if n.at >= b.warmup {
		b.begun++
	}
	var ended cronEnding
	if early := n.calls; early > 0 {
		ended = b.first(n)
		for range early - 1 {
			b.double(n, n.firstAt)
		}
	} else if b.cut || i < b.given {
		ended = b.giveUp(n)
	}
	b.mu.Unlock()
	ended.tell()
}

// watch lets the end of ctx cut what still waits.
func (b *cronBook) watch(ctx context.Context) {
	if b.ctx == ctx {
		return
	}
	if b.stopCut != nil {
		b.stopCut()
	}
	b.ctx, b.stopCut = ctx, context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.cut = true
		b.mu.Unlock()
		b.expire(b.end + b.missed)
	})
}

// call takes a call.
func (b *cronBook) call(c cronCall) {
	t := c.at
	b.mu.Lock()
	i, kind := b.belongs(c)
	measured := t >= b.warmup && t < b.end
	if kind == cronOwn {
		measured = b.instants[i].at >= b.warmup
	}
	if measured && t < b.busyUntil {
		b.overlapped++
	}
	b.busyUntil = max(b.busyUntil, c.whole+b.takes)
	if measured && c.unnamed {
		b.unnamed++
	}
	if t >= b.warmup && t < b.end {
		b.longestGap = max(b.longestGap, t-b.lastCall)
		b.lastCall = max(b.lastCall, t)
	}
	var ended cronEnding
	switch kind {
	case cronOutside:
		b.outside++
	case cronNobodys:
		b.unexpected++
		if measured {
			b.unexpectedNow++
			b.unexpectedLike = fmt.Sprintf("a call at %s", b.wall(t))
		}
	case cronOwn:
		ended = b.take(&b.instants[i], t)
	}
	b.mu.Unlock()
	ended.tell()
}

// cronKind is whose a call is.
type cronKind uint8

const (
	cronOwn     cronKind = iota // an instant's of the run
	cronOutside                 // an instant's shortly before or after it
	cronNobodys
)

// belongs finds the instant of a call: the one it names, or the nearest.
func (b *cronBook) belongs(c cronCall) (int, cronKind) {
	nobodys, about := cronNobodys, c.at
	if c.names {
		about = c.instant
	}
	if about < 0 || about >= b.end {
		nobodys = cronOutside
	}
	if len(b.instants) == 0 {
		return 0, nobodys
	}
	i := b.nearest(about)
	off := about - b.instants[i].at
	switch {
	case c.names && (off > cronRounding || off < -cronRounding):
		return 0, nobodys
	case !c.names && (off < -b.missed || off > b.missed && b.instants[i].calls > 0):
		return 0, nobodys
	case i < b.from || i >= b.to:
		return 0, cronOutside
	}
	return i, cronOwn
}

// nearest is the instant nearest to t; the earlier of two that are.
func (b *cronBook) nearest(t time.Duration) int {
	i := sort.Search(len(b.instants), func(i int) bool { return b.instants[i].at >= t })
	switch {
	case i == len(b.instants):
		return i - 1
	case i > 0 && t-b.instants[i-1].at <= b.instants[i].at-t:
		return i - 1
	}
	return i
}

// wall is an instant of the run as it is read on a clock.
func (b *cronBook) wall(t time.Duration) string {
	return time.Unix(0, b.clock.Unix(t)).UTC().Format("2006-01-02T15:04:05.000Z")
}

// close records on rec what only the whole run can tell, and holds the calls that came
// against what they were taken for.
func (b *cronBook) close(rec *engine.Recorder, now time.Duration, received, before int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopCut != nil {
		b.stopCut()
	}
	var called, missed, unfinished, early int64
	for i := b.from; i < b.to; i++ {
		n := &b.instants[i]
		if n.state == cronPlanned {
			early += int64(n.calls) // of a run that was interrupted
		}
		if n.at < b.warmup {
			continue
		}
		switch n.state {
		case cronWasCalled:
			called++
		case cronWasMissed:
			missed++
		case cronWasCut:
			unfinished++
		}
	}
	rec.Add(cronCalls, b.unexpectedNow)
	rec.Add(cronUnexpected, b.unexpectedNow)
	if b.unexpectedNow > 0 {
		rec.Errors("unexpected", b.unexpectedNow, b.unexpectedLike)
	}
	rec.Add(cronOverlapped, b.overlapped)
	rec.Add(cronUnnamed, b.unnamed)
	rec.Set(cronLongestGap, float64(max(b.longestGap, min(now, b.end)-b.lastCall)))
	if rise, span := b.trend.gained(); span > 0 {
		rec.Set(cronDriftGained, float64(rise))
		rec.Set(cronDriftTrend, float64(rise)/float64(span))
	}
	rec.Balance("instants = called + missed + unfinished", b.begun, called+missed+unfinished)
	rec.Balance("calls = called + doubled + late_calls + unexpected + those outside of the run",
		received, b.called+b.doubled+b.late+b.unexpected+b.outside+early+before)
}
