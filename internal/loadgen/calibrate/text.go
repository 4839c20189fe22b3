package calibrate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// WriteText writes the table of a sweep and its limits for people.
func WriteText(w io.Writer, e *result.Envelope) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Error of the receive instant against the server's own write, receive instants by %q.\n", e.ReceiveSource)
	b.WriteString("Streams: delivery_lag, which is the error of ttft; an itl is off by the difference of two of them.\n" +
		"Rooms: fanout with the relay's write in place of the planned publish.\n\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "kind\tat once\tevents/s\tbusy loops\terror p50\tp99\tmax\tlateness p99\tsend lag p99\tCPU cores\tverdict\theld\t")
	for _, l := range e.Levels {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t\n", // a strings.Builder takes everything
			kind(l.Protocol), plain(float64(l.InFlight)), plain(l.EventsPerSecond), l.Busy,
			nanoseconds(l.ErrorP50NS), nanoseconds(l.ErrorP99NS), known(l.ErrorMaxNS),
			nanoseconds(l.LatenessP99NS), known(l.SendLagP99NS), l.CPUCores, l.Validity.State, yes(Held(l, e.BoundNS)))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, l := range e.Levels {
		for _, reason := range l.Validity.Reasons {
			fmt.Fprintf(&b, "  %s at %s/s: %s: %s\n", kind(l.Protocol), plain(l.EventsPerSecond), reason.State, reason.Detail)
		}
		if l.Failure != "" {
			fmt.Fprintf(&b, "  %s at %s/s: failed: %s\n", kind(l.Protocol), plain(l.EventsPerSecond), l.Failure)
		}
	}
	b.WriteByte('\n')
	for _, l := range e.Limits {
		fmt.Fprintf(&b, "%s%s: %s\n", kind(l.Protocol), beside(l.Busy), reach(l, e.BoundNS))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// reach says how far a limit goes.
func reach(l result.EnvelopeLimit, bound time.Duration) string {
	if l.InFlight == 0 {
		return fmt.Sprintf("no level was VALID with the error's p99 within %v", bound)
	}
	return fmt.Sprintf("error p99 within %v and VALID up to %s at once, %s events/s",
		bound, plain(float64(l.InFlight)), plain(l.EventsPerSecond))
}

func kind(p scenario.Protocol) string {
	if p == scenario.WebSocket {
		return "rooms"
	}
	return "streams"
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

// known is a figure that 0 stands for the want of.
func known(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return nanoseconds(d)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
