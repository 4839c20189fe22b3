package live

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// clock says how far the run is, and whether it still warms up.
func clock(s engine.Snapshot) string {
	text := seconds(s.Elapsed) + " of " + seconds(s.Total)
	switch {
	case s.Warmup:
		text += " (warm-up)"
	case s.Elapsed > s.Total:
		text += " (drain)"
	}
	return text
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }

// figures says how a workload does: load, rate, headline.
func figures(w engine.WorkloadSnapshot) string {
	headline := w.Headline + " p95 –"
	if w.Samples > 0 {
		headline = w.Headline + " p95 " + result.Nanoseconds.Format(float64(w.HeadlineNS))
	}
	return fmt.Sprintf("%s in flight · %s/s · %s", whole(w.InFlight), result.One.Format(tenths(w.Rate)), headline)
}

// tenths rounds a rate: what a second of counting can tell.
func tenths(rate float64) float64 { return float64(int64(rate*10+0.5)) / 10 }

// failures is empty while there are none.
func failures(w engine.WorkloadSnapshot) string {
	if w.Failed == 0 {
		return ""
	}
	return whole(w.Failed) + " failed"
}

func whole(n int64) string { return result.One.Format(float64(n)) }

// lines shows snapshots as plain lines: the first, one every plainEvery, and the
// last.
type lines struct {
	w     io.Writer
	last  time.Duration
	shown bool
	held  *engine.Snapshot // seen since, not written
}

func (l *lines) frame(s engine.Snapshot) {
	// Snapshots come about once a second: half of one is near enough.
	if l.shown && s.Elapsed-l.last < plainEvery-500*time.Millisecond {
		l.held = &s
		return
	}
	l.write(s)
}

func (l *lines) write(s engine.Snapshot) {
	l.last, l.shown, l.held = s.Elapsed, true, nil
	var b strings.Builder
	for _, w := range s.Workloads {
		fmt.Fprintf(&b, "%s  %s: %s", clock(s), w.Name, figures(w))
		if f := failures(w); f != "" {
			b.WriteString(" · " + f)
		}
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(l.w, b.String()) // progress is not worth failing a run for
}

func (l *lines) close() {
	if l.held != nil {
		l.write(*l.held)
	}
}
