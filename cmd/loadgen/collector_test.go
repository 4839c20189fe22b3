package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The collector is relaxed where it runs often, and only there.
func TestRelaxGC(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(sparing))
	percent := func() int { // reading it sets it
		p := debug.SetGCPercent(sparing)
		debug.SetGCPercent(p)
		return p
	}
	const period = 250 * time.Millisecond
	quiet, cancel := context.WithTimeout(t.Context(), 3*period)
	defer cancel()
	watchGC(quiet, period)
	if percent() != sparing {
		t.Fatalf("%d %% though next to nothing was collected", percent())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		watchGC(t.Context(), period)
	}()
	for {
		select {
		case <-done:
			if percent() != relaxed {
				t.Errorf("%d %% after many collections, want %d", percent(), relaxed)
			}
			return
		default:
			runtime.GC()
		}
	}
}
