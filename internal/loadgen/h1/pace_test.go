package h1

import (
	"testing"
	"time"
)

// A loop gathers where a gathering time brings many events, and stops when they
// become few.
func TestPace(t *testing.T) {
	const gather = time.Millisecond
	now := time.Now()
	p := newPace(gather)
	steps := func(n int, each time.Duration, events int) {
		for range n {
			now = now.Add(each)
			p.handled(events, now)
		}
	}
	steps(100, gather, many-1)
	if p.many {
		t.Error("gathers with too few events")
	}
	steps(25, gather, many)
	if !p.many {
		t.Error("does not gather with enough")
	}
	steps(2000, 10*time.Microsecond, 1) // a hundred a millisecond, one by one
	if !p.many {
		t.Error("does not gather what comes one by one")
	}
	steps(25, gather, 1)
	if p.many {
		t.Error("goes on gathering")
	}
	off := newPace(0)
	off.handled(1000, now)
	off.handled(1000, now.Add(time.Second))
	if off.many {
		t.Error("gathers where it was not asked to")
	}
}
