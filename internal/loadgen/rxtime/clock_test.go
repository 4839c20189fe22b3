package rxtime

import (
	"testing"
	"time"
)

// A fake is a pair of clocks that a test sets.
type fake struct{ wall, mono int64 }

func (f *fake) pass(d time.Duration) { f.wall, f.mono = f.wall+int64(d), f.mono+int64(d) }
func (f *fake) look() reading        { return reading{f.wall, f.mono} }

const epoch = int64(1_700_000_000e9)

func newFake() (*fake, *Clock) {
	f := &fake{wall: epoch}
	return f, newClock(time.Now(), f.look)
}

// read is a read now of what was stamped at an instant of the wall clock.
func read(c *converter, stamp int64, emptied bool) passage {
	c.before()
	return c.arrival(stamp, emptied)
}

func TestClockConverts(t *testing.T) {
	f, k := newFake()
	c := &converter{clock: k, since: k.anchor.Load()}
	f.pass(time.Second)
	for _, tt := range []struct {
		name  string
		stamp int64
		want  passage
	}{
		{"arrived 50 ms ago", f.wall - 50e6, passage{at: 950e6, returned: 1e9, kernel: true}},
		{"no stamp", 0, passage{at: 1e9, returned: 1e9}},
		{"ahead by less than a look takes", f.wall + 100, passage{at: 1e9, returned: 1e9, kernel: true}},
		{"of the future", f.wall + 1e6, passage{at: 1e9, returned: 1e9}},
	} {
		if got := read(c, tt.stamp, true); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if k.Steps() != 0 {
		t.Errorf("%d steps", k.Steps())
	}
}

// A stamp that may be of the time before a step is not used: neither by the read
// that notices it nor, on any connection, before one has found its socket empty.
func TestClockNoticesSteps(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, -time.Millisecond, -21 * time.Microsecond, 21 * time.Microsecond, time.Millisecond, time.Hour} {
		f, k := newFake()
		one := &converter{clock: k, since: k.anchor.Load()}
		other := &converter{clock: k, since: k.anchor.Load()}
		f.pass(time.Second)
		old := f.wall - 10e6
		f.wall += int64(step)

		check := func(what string, c *converter, stamp int64, emptied, kernel bool, at int64) {
			t.Helper()
			if got := read(c, stamp, emptied); got.kernel != kernel || got.at != at {
				t.Errorf("step %v, %s: %+v, want kernel %v at %d", step, what, got, kernel, at)
			}
		}
		check("who notices", one, old, true, false, f.mono)
		check("the read after", one, f.wall-1e6, true, false, f.mono)
		check("and the one after that", one, f.wall-2e6, true, true, f.mono-2e6)
		check("another, bytes left", other, old, false, false, f.mono)
		check("another, the rest", other, old, true, false, f.mono)
		f.pass(time.Second)
		check("another, new bytes", other, f.wall-3e6, true, true, f.mono-3e6)
		if k.Steps() != 1 {
			t.Errorf("step %v: %d steps", step, k.Steps())
		}
	}
}

// A look that was interrupted between its two clocks is no step.
func TestClockIsNotFooledByAnInterruptedLook(t *testing.T) {
	f, k := newFake()
	c := &converter{clock: k, since: k.anchor.Load()}
	f.pass(time.Second)
	interrupted := true
	k.look = func() reading {
		r := f.look()
		if interrupted {
			interrupted = false
			f.pass(5 * time.Millisecond)
			r.mono = f.mono
		}
		return r
	}
	if got := read(c, f.wall-1e6, true); !got.kernel || got.at != 999e6 {
		t.Errorf("%+v", got)
	}
	if k.Steps() != 0 {
		t.Errorf("%d steps", k.Steps())
	}
}

// Measured with some looks interrupted, the anchor is still that of the others.
func TestClockMeasuresAtTheNarrowest(t *testing.T) {
	f := &fake{wall: epoch}
	n := 0
	k := newClock(time.Now(), func() reading {
		n++
		f.pass(time.Microsecond)
		r := f.look()
		if n%3 != 0 {
			f.pass(time.Duration(n) * time.Millisecond)
			r.mono = f.mono
		}
		return r
	})
	if a := k.anchor.Load(); !near(a.wallAtBase, epoch) {
		t.Errorf("off by %d ns", a.wallAtBase-epoch)
	}
}
