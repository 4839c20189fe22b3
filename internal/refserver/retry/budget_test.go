package retry

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestWindowedStartsWithItsReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Windowed
		granted := func() (n int) {
			for w.Retry() {
				n++
			}
			return n
		}
		if n := granted(); n != 100 {
			t.Errorf("without a request there are %d retries, want 10/s for 10 s", n)
		}
		for range 50 {
			w.Request()
		}
		if n := granted(); n != 10 {
			t.Errorf("50 requests give %d retries, want a fifth", n)
		}
		time.Sleep(9 * time.Second)
		if n := granted(); n != 0 {
			t.Errorf("after 9 s there are %d retries", n)
		}
		time.Sleep(time.Second)
		if n := granted(); n != 100 {
			t.Errorf("after 10 s there are %d retries, want all of the reserve", n)
		}
	})
}

// TestWindowedAgainstAWindow compares with a list of everything that happened.
func TestWindowedAgainstAWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) windowStep {
			return windowStep{
				pause:    time.Duration(rapid.Int64Range(0, int64(4*time.Second)).Draw(rt, "pause")),
				requests: rapid.IntRange(0, 60).Draw(rt, "requests"),
				retries:  rapid.IntRange(0, 60).Draw(rt, "retries"),
			}
		}), 1, 40).Draw(rt, "steps")
		var wrong string
		synctest.Test(t, func(*testing.T) { wrong = windowedDiffers(steps) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// windowStep is a pause, then so many calls.
type windowStep struct {
	pause             time.Duration
	requests, retries int
}

// windowedDiffers says where a Windowed and the list disagree, or nothing.
func windowedDiffers(steps []windowStep) string {
	type event struct {
		slot  int64
		worth int
	}
	var w Windowed
	w.Request() // fixes the start
	start, events := time.Now(), []event{{0, 20}}
	for _, step := range steps {
		time.Sleep(step.pause)
		slot := int64(time.Since(start) / time.Second)
		for range step.requests {
			w.Request()
			events = append(events, event{slot, 20})
		}
		for range step.retries {
			balance := 10_000
			for _, e := range events {
				if e.slot > slot-10 {
					balance += e.worth
				}
			}
			got := w.Retry()
			if got != (balance >= 100) {
				return fmt.Sprintf("at %s, with %d hundredths left, a retry is granted: %t", time.Since(start), balance, got)
			}
			if got {
				events = append(events, event{slot, -100})
			}
		}
	}
	return ""
}

// TestBucket follows the arithmetic of A6's example by hand.
func TestBucket(t *testing.T) {
	var b Bucket
	for failure := 1; failure <= 4; failure++ {
		if b.Attempt(true); !b.Retry() {
			t.Fatalf("no retry after %d failures, with %d tokens left", failure, 10-failure)
		}
	}
	if b.Attempt(true); b.Retry() {
		t.Fatal("a retry with half of the tokens left")
	}
	if b.Attempt(false); !b.Retry() { // 5.1
		t.Fatal("no retry with more than half of the tokens")
	}
	for range 100 {
		b.Attempt(true)
	}
	for success := range 50 { // empty, so 50 successes give half back
		if b.Attempt(false); b.Retry() {
			t.Fatalf("a retry after %d successes", success+1)
		}
	}
	if b.Attempt(false); !b.Retry() {
		t.Fatal("no retry after 51 successes")
	}
	for range 1000 {
		b.Attempt(false)
	}
	for range 5 {
		b.Attempt(true)
	}
	if b.Retry() {
		t.Fatal("successes filled the bucket above its brim")
	}
}

func TestBudgetsAreShared(t *testing.T) {
	var b Budgets
	for name, want := range map[BudgetName]bool{"": false, NoBudget: false, Finagle: true, GRPC: true} {
		p := Policy{Kind: Full, Budget: name}
		if got := b.Of(p); (got != nil) != want || got != b.Of(p) {
			t.Errorf("budget %q is %v", name, got)
		}
	}
}
