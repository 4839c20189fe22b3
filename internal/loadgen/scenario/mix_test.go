package scenario

import (
	"math"
	"strings"
	"testing"
)

const mixed = `
version: 1
name: mixed
target: http://127.0.0.1:8080
duration: 10s
mix: {rate: 8/s, arrivals: poisson}
workloads:
  chat:
    protocol: sse
    load: {weight: 3}
    request: &ask {path: /, body: x}
  code:
    protocol: sse
    load: {weight: 1, shape: code-azure23, max_in_flight: 7}
    request: *ask
  other:
    protocol: sse
    load: {rate: 1/s}
    request: *ask
`

func TestMix(t *testing.T) {
	s := mustParse(t, mixed, Options{})
	chat, code, other := s.Workloads["chat"].Load, s.Workloads["code"].Load, s.Workloads["other"].Load
	if chat.Rate != 6 || chat.Arrivals != ArrivalsPoisson || code.Rate != 2 || code.MaxInFlight != 7 || other.Rate != 1 {
		t.Errorf("chat %+v\ncode %+v\nother %+v", chat, code, other)
	}
	if code.Arrivals != ArrivalsPoisson || code.Shape != ShapeCode {
		t.Errorf("the mix's arrivals go before those of the shape: %+v", code)
	}
	s = mustParse(t, strings.Replace(mixed, "load: {rate: 1/s}", "load: {users: 2}", 1), Options{Rate: 100})
	if s.Mix.Rate != 100 || s.Workloads["chat"].Load.Rate != 75 || s.Workloads["code"].Load.Rate != 25 {
		t.Errorf("with a rate given for the run: %+v", s.Workloads["chat"].Load)
	}
	sine := mustParse(t, strings.Replace(mixed, "rate: 8/s", "sine: {mean: 8/s, amplitude: 4/s, period: 5s}", 1), Options{})
	if got := sine.Workloads["chat"].Load.Sine; got.Mean != 6 || got.Amplitude != 3 {
		t.Errorf("sine: %+v", got)
	}
	stages := strings.NewReplacer("rate: 8/s", "stages: [{duration: 4s, rate: 8/s, step: true}, {duration: 3s, rate: 0/s}]", "duration: 10s\n", "").Replace(mixed)
	staged := mustParse(t, stages, Options{})
	if got := staged.Workloads["code"].Load.Stages; staged.Duration.String() != "7s" || len(got) != 2 || math.Abs(float64(got[0].Rate-2)) > 1e-12 || !got[0].Step {
		t.Errorf("stages: %+v, %s", got, staged.Duration)
	}
}

func TestBadMix(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"mix: {rate: 8/s, arrivals: poisson}\n", "", "9:12: workloads.chat.load.weight: a weight is a share of the scenario's mix"},
		{"rate: 8/s", "rate: 0/s", "mix.rate: must be above 0"},
		{"rate: 8/s, ", "", "want exactly one of rate, stages and sine, found none"},
		{"arrivals: poisson", "arrivals: gamma", "mix.arrivals: gamma needs cv"},
		{"weight: 3", "weight: -3", "must be above 0 and at most 1000000, is -3"},
		{"weight: 3", "weight: 3, rate: 1/s", "found rate, weight"},
		{"weight: 3", "weight: 3, think: 1s", "goes only with users"},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(mixed, c.from, c.to, 1)), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.to, err, c.want)
		}
	}
	none := strings.NewReplacer("weight: 3", "rate: 1/s", "weight: 1", "rate: 1/s").Replace(mixed)
	if _, err := Parse("x.yaml", []byte(none), Options{}); err == nil || !strings.Contains(err.Error(), "mix: no workload has a share") {
		t.Errorf("a mix without weights: %v", err)
	}
}
