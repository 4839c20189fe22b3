package engine

import (
	"context"
	"sync"
	"time"
)

// waitersAhead is how many arrivals of a workload are waited for at a time.
const waitersAhead = 8

// A pacer begins the arrivals of one open workload at the schedule's instants,
// whatever the target does. An arrival that finds MaxInFlight under way, or that
// is still to begin when the drain time is over, is dropped and counted.
//
// It is a crew of goroutines. Each takes the next arrival, waits for its instant
// on a seat, which has a timer of its own, and begins it itself. To wake another
// goroutine for that, or to set the next timer first, costs some 7 µs each on a
// virtual machine, which every arrival would be late by. So several arrivals
// are waited for at a time, and only when the last who waits goes to work is
// another goroutine started. Whose arrival has ended, as far as Do goes, waits
// for the next one where a seat is free, and leaves where none is.
//
// Every instant is the schedule's own: how late one arrival was has no bearing
// on the next.
type pacer struct {
	run       *run
	workload  *workload
	ctx, work context.Context
	attend    func() // the method member, bound once
	crew      sync.WaitGroup
	begun     sync.Pool // of *beginning

	mu    sync.Mutex
	seats []*seat // free ones
	taken int     // seats with someone on them
	over  bool    // nothing comes any more
}

// open paces w until its schedule ends or ctx does, and waits for the arrivals
// under way.
func (r *run) open(ctx, work context.Context, w *workload) {
	p := &pacer{run: r, workload: w, ctx: ctx, work: work}
	p.attend = p.member
	n := waitersAhead
	if r.plan.Spin {
		n = 1 // one at a time may spin
	}
	all := make([]*seat, n)
	for i := range all {
		all[i] = r.newSeat()
	}
	p.seats = append(p.seats, all...)
	defer context.AfterFunc(ctx, func() {
		for _, s := range all {
			s.release()
		}
	})()
	p.crew.Add(1)
	p.member()
	p.crew.Wait()
	for _, s := range all {
		s.close()
	}
}

// member waits for arrivals and begins them, as long as it is of use.
func (p *pacer) member() {
	defer p.crew.Done()
	for {
		s, a, ok := p.sit()
		if !ok {
			return
		}
		due := p.ctx.Err() == nil && s.wait(p.ctx, a.Intended)
		last := p.rise(s, due)
		if !due {
			return
		}
		b := p.admit(a)
		if b == nil {
			continue
		}
		if last {
			p.crew.Add(1)
			go p.attend()
		}
		b.begin(p.work)
	}
}

// sit takes the next arrival and a seat to wait for it; false where no seat is
// free or nothing comes any more.
func (p *pacer) sit() (*seat, Arrival, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := len(p.seats)
	if p.over || free == 0 {
		return nil, Arrival{}, false
	}
	intended, ok := p.workload.Schedule.Next()
	if !ok {
		p.over = true
		return nil, Arrival{}, false
	}
	s := p.seats[free-1]
	p.seats = p.seats[:free-1]
	p.taken++
	return s, p.workload.arrive(-1, intended), true
}

// rise gives the seat back and reports that nobody waits any more though more is
// to come. Not due means that the wait was cut short: nothing comes any more.
func (p *pacer) rise(s *seat, due bool) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seats = append(p.seats, s)
	p.taken--
	p.over = p.over || !due
	return p.taken == 0 && !p.over
}

// admit counts a as offered and makes it ready to begin; nil where it is dropped.
func (p *pacer) admit(a Arrival) *beginning {
	own := p.workload.account(a)
	own.Add(ownOffered, 1)
	if p.work.Err() != nil || !p.workload.flight.join(p.workload.MaxInFlight) {
		own.Add(ownDropped, 1)
		return nil
	}
	b, ok := p.begun.Get().(*beginning)
	if !ok {
		b = &beginning{pacer: p}
		b.over = b.ended
	}
	b.arrival = a
	p.crew.Add(1)
	return b
}

// A beginning is an arrival of a pacer from its admission to its end.
type beginning struct {
	pacer   *pacer
	arrival Arrival
	over    func(done bool) // the method ended, bound once
}

func (b *beginning) begin(ctx context.Context) {
	b.arrival.Started = b.pacer.run.start(b.pacer.workload, b.arrival)
	b.pacer.workload.drive(ctx, b.arrival, b.over)
}

func (b *beginning) ended(done bool) {
	p := b.pacer
	p.run.finish(p.workload, b.arrival)
	p.follow(b.arrival, done)
	b.arrival = Arrival{}
	p.begun.Put(b)
	p.crew.Done()
}

// A seat is a place to wait for one instant after the other. One goroutine at a
// time may use it; release may come from any.
type seat struct {
	clock Clock
	early time.Duration // how long before an instant waiting becomes spinning
	fd    *timerFD
	plain *time.Timer // without a timerfd
}

func (r *run) newSeat() *seat {
	s := &seat{clock: r.clock}
	if r.plan.Spin {
		s.early = spinFor
	}
	if !r.plan.coarse {
		if fd, err := newTimerFD(r.clock); err == nil {
			s.fd = fd
			return s
		}
	}
	s.plain = time.NewTimer(0)
	return s
}

// wait waits for the instant at and reports true; or false as soon as ctx ends,
// which release is told of as well. An instant that has passed is not waited for.
func (s *seat) wait(ctx context.Context, at time.Duration) bool {
	for {
		left := at - s.clock.Now()
		switch {
		case left <= 0:
			return true
		case left <= s.early:
			continue
		case s.fd != nil:
			s.fd.setAt(at - s.early)
			if s.fd.wait() != nil {
				return false
			}
		default:
			s.plain.Reset(left - s.early)
			select {
			case <-s.plain.C:
			case <-ctx.Done():
				return false
			}
		}
	}
}

// release ends the wait that goes on and those to come.
func (s *seat) release() {
	if s.fd != nil {
		s.fd.release()
	}
}

func (s *seat) close() {
	if s.fd != nil {
		s.fd.close()
		return
	}
	s.plain.Stop()
}
