package engine

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A lateDriver notes when each arrival began; what the n-th does then takes
// takes(n), in Do or after it has returned.
type lateDriver struct {
	run   Run
	takes func(seq uint64) (time.Duration, bool)

	mu    sync.Mutex
	begun map[uint64]time.Duration // started − intended
	ends  sync.WaitGroup
}

func (d *lateDriver) Begin(r Run) error { d.run = r; return nil }

func (d *lateDriver) Do(_ context.Context, a Arrival, _ *Recorder, over func(bool)) {
	d.mu.Lock()
	if _, twice := d.begun[a.Seq]; twice {
		panic("the same arrival twice")
	}
	d.begun[a.Seq] = a.Started - a.Intended
	d.mu.Unlock()
	takes, later := d.takes(a.Seq)
	if !later {
		time.Sleep(takes)
		over(true)
		return
	}
	d.ends.Go(func() {
		time.Sleep(takes)
		over(true)
	})
}

func (d *lateDriver) End(*Recorder) { d.ends.Wait() }

// listed is a schedule written down.
type listed []time.Duration

func (l *listed) Next() (time.Duration, bool) {
	if len(*l) == 0 {
		return 0, false
	}
	t := (*l)[0]
	*l = (*l)[1:]
	return t, true
}

// However many arrivals are due at once, and however long each keeps its
// goroutine, all begin at their instants: nothing drifts, nothing is left out,
// nothing comes twice. Time is simulated, so that late means late by the pacer's
// own doing.
func TestPacerNeverDrifts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		duration := rapid.IntRange(1, 5_000).Draw(rt, "duration in ms")
		intended := rapid.SliceOfN(rapid.IntRange(0, duration*1000-1), 0, 500).Draw(rt, "intended in µs")
		slices.Sort(intended)
		takes := rapid.SliceOfN(rapid.IntRange(0, 1000), 1, 20).Draw(rt, "takes in ms")
		later := rapid.SliceOfN(rapid.Bool(), 1, 20).Draw(rt, "ends after Do")
		synctest.Test(t, func(t *testing.T) {
			var schedule listed
			for _, us := range intended {
				schedule = append(schedule, time.Duration(us)*time.Microsecond)
			}
			d := &lateDriver{begun: make(map[uint64]time.Duration), takes: func(seq uint64) (time.Duration, bool) {
				return time.Duration(takes[seq%uint64(len(takes))]) * time.Millisecond, later[seq%uint64(len(later))]
			}}
			plan := planOf(0, time.Duration(duration)*time.Millisecond, time.Minute,
				Workload{Driver: d, Schedule: &schedule, MaxInFlight: 1000})
			res, err := plan.Run(t.Context(), "id")
			if err != nil {
				t.Fatal(err)
			}
			n := float64(len(intended))
			wantCounts(t, res.Workloads[0], map[string]float64{"offered": n, "started": n, "finished": n, "dropped": 0})
			for seq, late := range d.begun {
				if late != 0 {
					t.Errorf("arrival %d of %d began %v after its instant", seq, len(intended), late)
				}
			}
		})
	})
}

// Thousands of arrivals a second for a minute: the last is as punctual as the
// first.
func TestPacerKeepsARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const gap, end = 200 * time.Microsecond, time.Minute
		d := &endless{}
		res, err := planOf(0, end, time.Second, Workload{Driver: d, Schedule: &every{gap: gap, end: end}, MaxInFlight: 10}).Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		n := float64(end / gap)
		wantCounts(t, res.Workloads[0], map[string]float64{"offered": n, "started": n, "finished": n, "dropped": 0, "late": 0})
		if d.worst != 0 {
			t.Errorf("one of %v arrivals was late by %v", n, d.worst)
		}
	})
}

// endless does arrivals that are over at once and keeps the worst lateness.
type endless struct {
	mu    sync.Mutex
	worst time.Duration
}

func (*endless) Begin(Run) error { return nil }
func (*endless) End(*Recorder)   {}

func (d *endless) Do(_ context.Context, a Arrival, _ *Recorder, over func(bool)) {
	d.mu.Lock()
	d.worst = max(d.worst, a.Started-a.Intended)
	d.mu.Unlock()
	over(true)
}

// What the engine itself does for an arrival allocates nothing.
func TestArrivalDoesNotAllocate(t *testing.T) {
	plan := planOf(0, time.Hour, 0, Workload{Driver: &endless{}, Schedule: &every{gap: time.Microsecond, end: time.Hour}, MaxInFlight: 10})
	w := newWorkload(plan.Workloads[0], 0, time.Hour)
	r := &run{plan: plan, clock: NewClock(), end: time.Hour, workloads: []*workload{w}}
	p := &pacer{run: r, workload: w, ctx: t.Context(), work: t.Context(), seats: []*seat{r.newSeat()}}
	arrival := func() {
		s, a, ok := p.sit()
		if !ok || !s.wait(p.ctx, a.Intended) {
			t.Error("no arrival")
		}
		p.rise(s, true)
		p.admit(a).begin(p.work)
	}
	arrival()
	if n := testing.AllocsPerRun(1000, arrival); n != 0 {
		t.Errorf("%v allocations an arrival", n)
	}
	if n := w.flight.now.Load(); n != 0 {
		t.Errorf("%d still under way", n)
	}
}

// Spinning is for punctuality: what spins is not late by the time a processor
// takes to wake up, and never early.
func TestSpin(t *testing.T) {
	d := &lateDriver{begun: make(map[uint64]time.Duration), takes: func(uint64) (time.Duration, bool) { return 0, false }}
	plan := planOf(0, 400*time.Millisecond, time.Second, Workload{Driver: d, Schedule: &every{gap: time.Millisecond, end: 400 * time.Millisecond}, MaxInFlight: 100})
	plan.coarse, plan.Spin = false, true
	res, err := plan.Run(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	wantCounts(t, res.Workloads[0], map[string]float64{"offered": 400, "started": 400, "finished": 400, "dropped": 0})
	if !res.Health.Spin {
		t.Error("the result does not say that the run span")
	}
	var late []time.Duration
	for seq, l := range d.begun {
		if l < 0 {
			t.Errorf("arrival %d began %v before its instant", seq, -l)
		}
		late = append(late, l)
	}
	slices.Sort(late)
	t.Logf("late by p50 %v, p90 %v", late[200], late[360])
	if late[200] > time.Millisecond {
		t.Errorf("late by %v at the median", late[200])
	}
}
