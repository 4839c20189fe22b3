package pace

import "time"

// A Pacer offers a schedule to vegeta's tools: it is a vegeta.Pacer. Where
// vegeta's own pacers place the first hit one interval after the start, hit n
// is arrival n of the schedule here, and the attack stops after the last.
//
// One goroutine at a time may use it, as vegeta's attack does.
type Pacer struct {
	schedule *Schedule
	drawn    uint64 // arrivals drawn so far
	intended time.Duration
}

// Pacer returns a pacer over the same arrivals, from the first, whatever has
// been drawn from s.
func (s *Schedule) Pacer() *Pacer {
	c := *s
	c.process = s.process.clone()
	c.rewind()
	return &Pacer{schedule: &c}
}

// Pace returns how long to wait until the next hit when hits were sent so far;
// none when it is due already. stop is true after the schedule's last arrival.
// Hits that go up by one cost one arrival; in a random process a jump ahead
// draws what it skips, and a step back begins anew.
func (p *Pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	if hits >= p.schedule.count {
		return 0, true
	}
	if hits+1 < p.drawn {
		p.schedule.rewind()
		p.drawn = 0
	}
	if !p.schedule.process.random() && p.drawn < hits {
		p.schedule.next, p.drawn = hits, hits
	}
	for p.drawn <= hits {
		t, ok := p.schedule.Next()
		if !ok {
			return 0, true
		}
		p.intended = t
		p.drawn++
	}
	return max(p.intended-elapsed, 0), false
}

// Rate returns the intended hits a second at elapsed.
func (p *Pacer) Rate(elapsed time.Duration) float64 { return p.schedule.Rate(elapsed) }
