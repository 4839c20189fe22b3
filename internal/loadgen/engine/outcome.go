package engine

import (
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// result writes down what the run came to. The verdict on the instrument is
// part of it; thresholds are judged elsewhere, from the result.
func (r *run) result(id string, started time.Time, interrupted bool, health *healthWatch) (*result.Result, error) {
	res := &result.Result{
		Version:     result.Version,
		ID:          id,
		Started:     started,
		ElapsedNS:   max(0, r.clock.Now()),
		Interrupted: interrupted,
		Scenario:    r.plan.Scenario.Redacted(),
		Machine:     result.ThisMachine(),
		Build:       result.ThisBuild(),
		Health:      health.report(),
	}
	r.endSide(res)
	for _, w := range r.workloads {
		rw, err := w.result()
		if err != nil {
			return nil, err
		}
		res.Workloads = append(res.Workloads, rw)
		w.addHealth(&res.Health)
		if p99 := w.connectWait(); w.Once && p99 > lateLimit {
			res.Warnings = append(res.Warnings, fmt.Sprintf("%s: connections waited p99 %v for their turn to be opened: "+
				"spread them with load.ramp, or raise connect.rate and connect.at_once", w.Name, p99.Round(time.Millisecond)))
		}
	}
	res.Health.Spin = r.plan.Spin
	res.Health.ReceiveSource = receiveSource(res.Health.Unstamped)
	res.Validity = result.Judge(res)
	if interrupted {
		res.Warnings = append(res.Warnings, "the run was interrupted: its figures cover less than the planned duration")
	}
	res.Scrub(r.plan.Scenario.Scrub)
	return res, nil
}

func (w *workload) result() (result.Workload, error) {
	out := result.Workload{Name: w.Name, Protocol: w.Protocol, Headline: w.Metrics[w.Headline].Name, Errors: w.driven.errors(), Balances: w.driven.sums()}
	for _, t := range []*tally{w.own, w.driven} {
		m, err := t.results()
		if err != nil {
			return out, err
		}
		if t == w.own && w.Sessions == nil {
			m = m[:ownSessions]
		}
		out.Metrics = append(out.Metrics, m...)
	}
	var start time.Duration
	for _, iv := range w.own.intervals {
		out.Intervals = append(out.Intervals, result.Interval{
			StartNS: start, EndNS: iv.end, InFlight: iv.inFlight,
			Counters: make(map[string]int64), Histograms: make(map[string]string),
		})
		start = iv.end
	}
	for _, t := range []*tally{w.own, w.driven} {
		if err := t.addIntervals(out.Intervals); err != nil {
			return out, err
		}
	}
	out.InFlight.Looked, out.InFlight.Added = w.flight.means()
	out.Balances = append(out.Balances,
		result.Balance{Name: "offered = started + dropped", Left: w.own.total(ownOffered), Right: w.own.total(ownStarted) + w.own.total(ownDropped)},
		result.Balance{Name: "started = finished", Left: w.own.total(ownStarted), Right: w.own.total(ownFinished)})
	out.Balances = append(out.Balances, w.sessionBalances()...)
	return out, nil
}

// receiveSource says where receive instants came from.
func receiveSource(unstamped int64) string {
	if rxtime.Source == "kernel" && unstamped > 0 {
		return "mixed"
	}
	return rxtime.Source
}

// addHealth adds what this workload says of the generator.
func (w *workload) addHealth(h *result.Health) {
	h.Offered += w.own.total(ownOffered)
	h.Dropped += w.own.total(ownDropped)
	if !w.Once { // else no latency counts from before the wait
		h.ConnectWaitP99NS = max(h.ConnectWaitP99NS, w.connectWait())
	}
	for _, t := range []*tally{w.own, w.driven} {
		for id, m := range t.metrics {
			switch m.Kind {
			case result.Histogram:
				t.addHistogramHealth(MetricID(id), h)
			case result.Counter:
				if m.Gauge == Unstamped {
					h.Unstamped += t.total(MetricID(id))
				}
			}
		}
	}
}

// connectWait is the time that 99 % of the arrivals did not wait longer than for
// their connection's turn. Most may have had a connection already and waited for
// none.
func (w *workload) connectWait() time.Duration {
	var worst time.Duration
	for id, m := range w.driven.metrics {
		if m.Gauge != ConnectWait || m.Kind != result.Histogram {
			continue
		}
		waits := w.driven.merged(MetricID(id))
		longest := w.own.total(ownStarted) / 100
		if n := waits.Count(); n > longest {
			worst = max(worst, time.Duration(waits.Quantile(1-float64(longest)/float64(n))))
		}
	}
	return worst
}

func (t *tally) addHistogramHealth(id MetricID, h *result.Health) {
	merged := t.merged(id)
	h.OutOfRange += merged.OutOfRange()
	h.Samples += merged.Count()
	p99 := time.Duration(merged.Quantile(.99))
	switch t.metrics[id].Gauge {
	case Lateness:
		h.LatenessP99NS = max(h.LatenessP99NS, p99)
	case ReadDelay:
		h.ReadDelayP99NS = max(h.ReadDelayP99NS, p99)
	}
}
