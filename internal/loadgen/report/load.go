package report

import (
	"fmt"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// load says in words how arrivals come; empty where the scenario does not hold
// the workload.
func load(w *scenario.Workload) string {
	if w == nil {
		return ""
	}
	var parts []string
	l := w.Load
	switch {
	case w.Cron != nil:
		parts = append(parts, "schedule "+w.Cron.Schedule)
		if w.Cron.Timezone != "" {
			parts = append(parts, w.Cron.Timezone)
		}
	case l.Trace != nil:
		parts = append(parts, "trace "+l.Trace.File)
		if l.Trace.Speed != 1 {
			parts = append(parts, "× "+result.One.Format(l.Trace.Speed))
		}
	case l.Users > 0:
		parts = append(parts, whole(int64(l.Users))+" users")
		if l.Ramp > 0 {
			parts = append(parts, "ramp "+l.Ramp.String())
		}
		if l.Think > 0 {
			parts = append(parts, "think "+l.Think.String())
		}
	case len(l.Stages) > 0:
		for _, s := range l.Stages {
			verb := "to"
			if s.Step {
				verb = "at"
			}
			parts = append(parts, fmt.Sprintf("%s %s in %s", verb, s.Rate, s.Duration))
		}
	case l.Sine != nil:
		parts = append(parts, fmt.Sprintf("%s ± %s every %s", l.Sine.Mean, l.Sine.Amplitude, l.Sine.Period))
	case l.Rate > 0:
		parts = append(parts, l.Rate.String())
	}
	if l.Users == 0 && l.Arrivals != "" {
		parts = append(parts, string(l.Arrivals)+" arrivals")
	}
	if l.Shape != "" {
		parts = append(parts, "shape "+string(l.Shape))
	}
	if l.Session != nil {
		parts = append(parts, "sessions of "+l.Session.Turns.String()+" turns")
	}
	if n := len(w.Steps); n > 0 {
		parts = append(parts, whole(int64(n))+" steps")
	}
	if room := w.Room; room != nil {
		parts = append(parts, fmt.Sprintf("rooms of %d, %s a room", room.Members, room.Publish))
	}
	return strings.Join(parts, ", ")
}
