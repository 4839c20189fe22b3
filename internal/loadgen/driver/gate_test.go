package driver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Two thousand who come at one instant are let in at the rate, beside one burst,
// in the order of coming, and each is told how long it waited.
func TestGatePacesAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const storm, first = 2000, 20 // 20 ms of the rate
		g := newGate(scenario.Connect{Rate: 1000, AtOnce: 50})
		start := time.Now()
		var (
			mu      sync.Mutex
			entered []time.Duration
			wg      sync.WaitGroup
		)
		for range storm {
			wg.Go(func() {
				waited, err := g.enter(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if at := time.Since(start); waited != at {
					t.Errorf("said to have waited %v, came in after %v", waited, at)
				}
				mu.Lock()
				entered = append(entered, waited)
				mu.Unlock()
				time.Sleep(time.Millisecond) // the connect
				g.leave()
			})
		}
		wg.Wait()
		if !slices.IsSorted(entered) {
			t.Error("somebody was overtaken")
		}
		if entered[first-1] != 0 || entered[first] == 0 {
			t.Errorf("a burst other than %d", first)
		}
		if last, want := entered[storm-1], (storm-first)*time.Millisecond; last != want {
			t.Errorf("the last came in after %v, want %v", last, want)
		}
	})
}

// Never more than AtOnce are under way, and in no window are more begun than the
// rate and one burst allow; a slow target holds up the rest and loses no one.
func TestGateHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := scenario.Connect{Rate: scenario.Rate(rapid.IntRange(10, 5000).Draw(rt, "rate")), AtOnce: rapid.IntRange(1, 20).Draw(rt, "at once")}
		comes := rapid.SliceOfN(rapid.IntRange(0, 500), 1, 100).Draw(rt, "comes after ms")
		takes := rapid.SliceOfN(rapid.IntRange(0, 50), 1, 10).Draw(rt, "takes ms")
		synctest.Test(t, func(t *testing.T) {
			g := newGate(c)
			var (
				mu      sync.Mutex
				under   int
				entered []time.Duration
				start   = time.Now()
				wg      sync.WaitGroup
			)
			for i, ms := range comes {
				wg.Go(func() {
					time.Sleep(time.Duration(ms) * time.Millisecond)
					if _, err := g.enter(t.Context(), nil); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					under++
					if under > c.AtOnce {
						t.Errorf("%d under way", under)
					}
					entered = append(entered, time.Since(start))
					mu.Unlock()
					time.Sleep(time.Duration(takes[i%len(takes)]) * time.Millisecond)
					mu.Lock()
					under--
					mu.Unlock()
					g.leave()
				})
			}
			wg.Wait()
			if len(entered) != len(comes) {
				t.Fatalf("%d of %d came in", len(entered), len(comes))
			}
			slices.Sort(entered)
			for i, from := range entered {
				saved := int(g.save / g.gap)
				for j := i + saved; j < len(entered); j++ {
					if least := time.Duration(j-i-saved) * g.gap; entered[j]-from < least-time.Microsecond {
						t.Fatalf("%d begun within %v at %v, %d at once", j-i+1, entered[j]-from, c.Rate, c.AtOnce)
					}
				}
			}
		})
	})
}

func TestGateLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(scenario.Connect{Rate: 1, AtOnce: 1})
		if _, err := g.enter(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(stop) })
		if _, err := g.enter(t.Context(), stop); !errors.Is(err, context.Canceled) {
			t.Errorf("a stopped wait for room: %v", err)
		}
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(brief, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait for room beyond its time: %v", err)
		}
		g.leave()
		// The turn by the rate is a second away, twice over: who gives up leaves room.
		for range 2 {
			brief, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := g.enter(brief, nil); err == nil {
				g.leave()
			}
			cancel()
		}
		if waited, err := g.enter(t.Context(), nil); err != nil || waited > 4*time.Second {
			t.Errorf("waited %v, %v", waited, err)
		}
		g.leave()
	})
	var none *gate
	if waited, err := none.enter(t.Context(), nil); waited != 0 || err != nil {
		t.Errorf("no gate: waited %v, %v", waited, err)
	}
	none.leave()
}
