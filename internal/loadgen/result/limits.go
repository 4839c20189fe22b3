package result

import (
	"math"
	"time"
)

// Limits of one gauge of health: beyond Degraded a run is usable with that in
// mind, beyond Invalid it is not. In nanoseconds, or a share 0–1 where Share is
// set. Invalid is +Inf where the gauge alone never makes a run INVALID.
type Limits struct {
	Degraded, Invalid float64
	Share             bool
}

// HealthLimits returns the limits that Judge goes by, under the names of its
// checks. The figures are judgements, stated so that they can be argued with: a
// first token or a delivery takes tens of milliseconds and more, so a generator
// 10 ms late is in the picture and one 50 ms late is the picture.
func HealthLimits() map[string]Limits {
	const ms = float64(time.Millisecond)
	return map[string]Limits{
		"lateness":     {Degraded: 10 * ms, Invalid: 50 * ms},
		"connect wait": {Degraded: 10 * ms, Invalid: 50 * ms},
		"dropped":      {Degraded: 0, Invalid: .01, Share: true},  // of the offered arrivals
		"read delay":   {Degraded: 50 * ms, Invalid: math.Inf(1)}, // in no figure, but chunks coalesce
		// One pause is a maximum, where lateness is a p99: it holds up what falls due
		// in it and nothing else, and a longer run has a longer one. All together
		// touch a p99 from 1 % of the time on.
		"gc pause":     {Degraded: 50 * ms, Invalid: 100 * ms},
		"gc share":     {Degraded: .01, Invalid: .05, Share: true},
		"scheduler":    {Degraded: 10 * ms, Invalid: 50 * ms},
		"cpu":          {Degraded: .80, Invalid: .95, Share: true},         // of the quota
		"steal":        {Degraded: .05, Invalid: math.Inf(1), Share: true}, // of the CPUs' time
		"descriptors":  {Degraded: .90, Invalid: math.Inf(1), Share: true},
		"local limit":  {Degraded: 0, Invalid: .01, Share: true},  // of the offered arrivals
		"range":        {Degraded: 0, Invalid: .001, Share: true}, // of all samples
		"clock":        {Degraded: 2 * ms, Invalid: 50 * ms},
		"little's law": {Degraded: .05, Invalid: .25, Share: true}, // |L − λW| ÷ L
	}
}
