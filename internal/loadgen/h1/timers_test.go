package h1

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Timers go off in order and once, at the earliest instant they were armed for.
func TestTimers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Now()
		var all timers
		conns := make([]*conn, rapid.IntRange(1, 20).Draw(t, "connections"))
		due := make(map[*conn]time.Time)
		for i := range conns {
			conns[i] = &conn{timer: none}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			c := rapid.SampledFrom(conns).Draw(t, "connection")
			if rapid.IntRange(0, 4).Draw(t, "what") == 0 {
				all.remove(c)
				delete(due, c)
				continue
			}
			at := begin.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "at")) * time.Millisecond)
			all.arm(c, at)
			if old, ok := due[c]; !ok || at.Before(old) {
				due[c] = at
			}
		}
		for ms := 0; ms <= 100; ms += 10 {
			now := begin.Add(time.Duration(ms) * time.Millisecond)
			for _, c := range all.due(nil, now) {
				at, ok := due[c]
				if !ok || at.After(now) || !at.Equal(c.due) {
					t.Fatalf("went off at %d ms, armed %v for %v", ms, ok, at.Sub(begin))
				}
				delete(due, c)
			}
			for c, at := range due {
				if !at.After(now) {
					t.Fatalf("at %d ms one of %v has not gone off (place %d)", ms, at.Sub(begin), c.timer)
				}
			}
		}
		if len(all) != 0 || len(due) != 0 {
			t.Fatalf("%d timers, %d due at the end", len(all), len(due))
		}
	})
}
