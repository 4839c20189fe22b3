package h1

import "time"

// many is how many events a gathering time has to bring to be worth it. With
// fewer, what a wake-up costs each of them weighs less than that events of one
// stream may come to share a read.
const many = 16

// A pace decides whether a loop lets events gather.
type pace struct {
	gather time.Duration // 0: never
	since  time.Time     // of the present look
	count  int
	many   bool
}

func newPace(gather time.Duration) pace { return pace{gather: gather} }

// handled notes n events handled by now. A decision stands for ten gathering
// times.
func (p *pace) handled(n int, now time.Time) {
	p.count += n
	if d := now.Sub(p.since); p.gather > 0 && d >= 10*p.gather {
		p.many = float64(p.count)*float64(p.gather) >= many*float64(d)
		p.since, p.count = now, 0
	}
}
