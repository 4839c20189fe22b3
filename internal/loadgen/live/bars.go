package live

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// barWidth is the room of a bar in columns; numbers are worth more.
const barWidth = 12

// bars shows each workload as a line that is redrawn in place.
type bars struct {
	color  bool
	redraw chan any // asks mpb for a frame
	down   chan any // closed when mpb has ended, by us or by an error of its writer
	mpb    *mpb.Progress
	byName map[string]*bar
}

// A bar is one workload's line. mpb reads now from a goroutine of its own.
type bar struct {
	*mpb.Bar
	now atomic.Pointer[reading]
}

// A reading is what a line says.
type reading struct{ clock, figures, failures string }

func newBars(w io.Writer, o Options) *bars {
	b := &bars{color: o.Color, redraw: make(chan any), down: make(chan any), byName: make(map[string]*bar)}
	b.mpb = mpb.New(
		mpb.WithOutput(sized(w)), mpb.ForceTTY(), mpb.WithManualRefresh(b.redraw), mpb.WithShutdownNotifier(b.down), mpb.WithWidth(o.Width),
	)
	return b
}

// sized returns w, or w without its file where that is a terminal that does not
// know its size: mpb would take it at its word and draw into no columns.
func sized(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err != nil || columns <= 0 || rows <= 0 {
			return struct{ io.Writer }{f}
		}
	}
	return w
}

func (b *bars) frame(s engine.Snapshot) {
	for _, w := range s.Workloads {
		line, ok := b.byName[w.Name]
		if !ok {
			var err error
			if line, err = b.add(w.Name, s.Total); err != nil {
				return // mpb has ended: its writer failed
			}
			b.byName[w.Name] = line
		}
		line.now.Store(&reading{clock(s), figures(w), failures(w)})
		// The bar must not complete before Close: a complete one is drawn once
		// more and then no longer.
		line.SetCurrent(int64(min(s.Elapsed, s.Total-1)))
	}
	select {
	case b.redraw <- nil:
	case <-b.down:
	}
}

// add makes the line of a workload.
func (b *bars) add(name string, total time.Duration) (*bar, error) {
	line := &bar{}
	line.now.Store(&reading{})
	part := func(pick func(*reading) string, wc decor.WC) decor.Decorator {
		return decor.Any(func(decor.Statistics) string { return pick(line.now.Load()) }, wc)
	}
	failed := part(func(r *reading) string {
		if r.failures == "" {
			return ""
		}
		return " · " + r.failures
	}, decor.WC{})
	if b.color {
		failed = decor.Meta(failed, func(text string) string {
			if text == "" {
				return ""
			}
			return "\x1b[31m" + text + "\x1b[0m"
		})
	}
	left := decor.WC{C: decor.DindentRight | decor.DSyncWidth}
	var err error
	line.Bar, err = b.mpb.Add(int64(max(total, 1)), mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound("").Build(),
		mpb.BarWidth(barWidth),
		mpb.PrependDecorators(
			decor.Name(name, left),
			part(func(r *reading) string { return "  " + r.clock }, left),
		),
		mpb.AppendDecorators(part(func(r *reading) string { return r.figures }, decor.WC{}), failed),
	)
	return line, err
}

// close leaves the last frame standing.
func (b *bars) close() {
	for _, line := range b.byName {
		line.Abort(false)
	}
	b.mpb.Wait()
}
