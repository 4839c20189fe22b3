package driver

import (
	"fmt"
	"maps"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// An httpStep is a request and what is asked of its answer.
type httpStep struct {
	requests *requests
	checks   httpChecks
	extracts extracts

	tagged          bool // it is one of several, with metrics of its own
	latency, failed engine.MetricID
}

// newHTTPSteps compiles a workload's steps, or its only request.
func newHTTPSteps(of opening) ([]httpStep, error) {
	w := of.workload
	if len(w.Steps) == 0 {
		step, err := newHTTPStep(of)
		return []httpStep{step}, err
	}
	var steps []httpStep
	for i, s := range w.Steps {
		one := *w
		one.Request, one.Checks, one.Extract = &s.Request, s.Checks, s.Extract
		of.workload = &one
		step, err := newHTTPStep(of)
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", s.Name, err)
		}
		step.tagged = true
		step.latency = httpMetricCount + engine.MetricID(2*i)
		step.failed = step.latency + 1
		steps = append(steps, step)
	}
	return steps, nil
}

func newHTTPStep(of opening) (s httpStep, err error) {
	if s.requests, err = newRequests(of, ""); err != nil {
		return s, err
	}
	if s.checks, err = newHTTPChecks(of.workload.Checks); err != nil {
		return s, err
	}
	s.extracts, err = newExtracts(of.workload.Extract)
	return s, err
}

// stepMetrics declares what each step of w records beside what all do together.
func stepMetrics(w *scenario.Workload) []engine.Metric {
	var all []engine.Metric
	for _, s := range w.Steps {
		tag := scenario.StepTag(s.Name)
		all = append(all,
			engine.Metric{Name: "latency" + tag, Kind: result.Histogram, Unit: result.Nanoseconds, Help: "latency of the step " + s.Name + ", later ones from the end of the one before and the think time"},
			engine.Metric{Name: "failed" + tag, Kind: result.Counter, Unit: result.One, Help: "requests of the step " + s.Name + " that failed, which ends the arrival's session"},
		)
	}
	return all
}

// stepOf is the step that a does.
func (d *httpDriver) stepOf(a engine.Arrival) *httpStep {
	if len(d.steps) == 1 {
		return &d.httpStep
	}
	return &d.steps[a.Turn]
}

// vars are values taken out of the earlier answers of a session.
type vars map[string]string

// varsOf is what the session of a has taken so far.
func varsOf(a engine.Arrival) vars {
	if a.Session == nil {
		return nil
	}
	v, _ := a.Session.Keep.(vars)
	return v
}

// with returns v with more in it; v itself may be in use by a template.
func (v vars) with(more map[string]string) vars {
	all := make(vars, len(v)+len(more))
	maps.Copy(all, v)
	maps.Copy(all, more)
	return all
}
