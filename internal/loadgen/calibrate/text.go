package calibrate

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// WriteText writes the tables of a sweep and its limits for people.
func WriteText(w io.Writer, e *result.Envelope) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Errors against the known-answer server's own stamps, p50 / p99 / max; receive instants by %q.\n", e.ReceiveSource)
	for _, of := range []struct {
		protocol scenario.Protocol
		figures  []figure
	}{
		{scenario.SSE, []figure{
			{"ttft error", func(l result.CalibrationLevel) result.Spread { return l.TTFT }},
			{"itl error", func(l result.CalibrationLevel) result.Spread { return l.ITL }},
		}},
		{scenario.WebSocket, []figure{
			{"fanout error", func(l result.CalibrationLevel) result.Spread { return l.Fanout }},
		}},
	} {
		if err := writeTable(&b, e, of.protocol, append(of.figures,
			figure{"send lag", func(l result.CalibrationLevel) result.Spread { return l.SendLag }})); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	for _, l := range e.Levels {
		for _, reason := range l.Validity.Reasons {
			fmt.Fprintf(&b, "  %v%s at %s/s: %s: %s: %s\n", l.Kind, beside(l.Busy), plain(l.EventsPerSecond), reason.State, reason.Detail, reason.Remedy)
		}
		if l.Tight != "" {
			fmt.Fprintf(&b, "  %v%s at %s/s: VALID by a narrow margin: %s\n", l.Kind, beside(l.Busy), plain(l.EventsPerSecond), l.Tight)
		}
		if l.Failure != "" {
			fmt.Fprintf(&b, "  %v%s at %s/s: failed: %s\n", l.Kind, beside(l.Busy), plain(l.EventsPerSecond), l.Failure)
		}
	}
	b.WriteByte('\n')
	for _, l := range e.Limits {
		fmt.Fprintf(&b, "%v%s: %s\n", l.Kind, beside(l.Busy), reach(l, e.BoundNS))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A figure is one distribution of a level and what it is called.
type figure struct {
	name string
	of   func(result.CalibrationLevel) result.Spread
}

// writeTable writes the levels of one protocol, if there are any.
func writeTable(w io.Writer, e *result.Envelope, p scenario.Protocol, figures []figure) error {
	if !slices.ContainsFunc(e.Levels, func(l result.CalibrationLevel) bool { return l.Kind.Protocol == p }) {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") } // Flush tells
	head := []string{"kind", "at once", "events/s", "busy loops"}
	for _, f := range figures {
		head = append(head, f.name)
	}
	row(append(head, "lateness p99", "CPU cores", "verdict", "held")...)
	for _, l := range e.Levels {
		if l.Kind.Protocol != p {
			continue
		}
		cells := []string{l.Kind.String(), plain(float64(l.InFlight)), plain(l.EventsPerSecond), fmt.Sprint(l.Busy)}
		for _, f := range figures {
			cells = append(cells, spread(f.of(l)))
		}
		row(append(cells, nanoseconds(l.LatenessP99NS), fmt.Sprintf("%.2f", l.CPUCores), string(l.Validity.State), yes(Held(l, e.BoundNS)))...)
	}
	return t.Flush()
}

// spread is a distribution's median, p99 and maximum.
func spread(s result.Spread) string {
	if s.Samples == 0 {
		return "–"
	}
	return nanoseconds(s.P50NS) + " / " + nanoseconds(s.P99NS) + " / " + nanoseconds(s.MaxNS)
}

// reach says how far a limit goes.
func reach(l result.EnvelopeLimit, bound time.Duration) string {
	if l.InFlight == 0 {
		return fmt.Sprintf("no level was VALID, with a margin, and the errors' p99 within %v", bound)
	}
	return fmt.Sprintf("errors' p99 within %v and VALID up to %s at once, %s events/s",
		bound, plain(float64(l.InFlight)), plain(l.EventsPerSecond))
}

func beside(busy int) string {
	if busy == 0 {
		return ""
	}
	return " beside " + loops(busy)
}

func loops(n int) string {
	if n == 1 {
		return "1 busy loop"
	}
	return fmt.Sprintf("%d busy loops", n)
}

func plain(v float64) string { return result.One.Format(v) }

func nanoseconds(d time.Duration) string { return result.Nanoseconds.Format(float64(d)) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
