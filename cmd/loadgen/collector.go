package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector is run at one of these percentages of what is in use.
// What is in use is mostly counters, and what is measured of streams and rooms
// makes no garbage, so memory is held close to what the connections need. Where
// much garbage is made, as of thousands of requests a second, that would have the
// collector at work all the time, and each of its pauses is the measurement's.
const (
	sparing = 25
	relaxed = 400
	// busy is how many collections a second call for relaxing.
	busy = 20
)

// relaxGC lets more garbage gather as soon as collections come as often as busy
// says, until stop is called, which returns to sparing. It does nothing where GOGC is
// set in the environment.
func relaxGC(ctx context.Context) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	debug.SetGCPercent(sparing)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		watchGC(ctx, 250*time.Millisecond)
	}()
	return func() {
		cancel()
		<-done
		debug.SetGCPercent(sparing)
	}
}

// watchGC relaxes the collector once a period has had busy collections a second,
// and returns then, or with ctx. The first period, in which a run is made ready
// and little is in use yet, does not count.
func watchGC(ctx context.Context, period time.Duration) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	var before uint64
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := collections()
		if !first && float64(now-before) >= busy*period.Seconds() {
			debug.SetGCPercent(relaxed)
			return
		}
		before = now
	}
}

// collections is how often the collector has run.
func collections() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
