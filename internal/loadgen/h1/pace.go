package h1

import "time"

const (
	// gather is how long a loop lets events gather where they are many.
	gather = time.Millisecond
	// many is how many events a gathering time has to bring to be worth it. With
	// fewer, what a wake-up costs each of them weighs less than that events of one
	// stream may come to share a read.
	many = 16
)

// A pace decides whether a loop lets events gather.
type pace struct {
	since time.Time // of the present look
	count int
	many  bool
}

// gathers says whether to.
func (p *pace) gathers() bool { return p.many }

// handled notes n events handled by now. The decision stands for ten gathering
// times.
func (p *pace) handled(n int, now time.Time) {
	p.count += n
	if d := now.Sub(p.since); d >= 10*gather {
		p.many = float64(p.count)*float64(gather) >= many*float64(d)
		p.since, p.count = now, 0
	}
}
