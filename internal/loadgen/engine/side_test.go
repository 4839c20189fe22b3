package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A fakeSide notes how it was treated.
type fakeSide struct {
	fails  error
	begun  []Run
	ended  []*result.Result
	driver *fakeDriver // whose end it expects before its own
	early  bool
}

func (s *fakeSide) Begin(r Run) error {
	s.begun = append(s.begun, r)
	return s.fails
}

func (s *fakeSide) End(res *result.Result) {
	s.ended = append(s.ended, res)
	s.early = s.early || res != nil && s.driver.ended == 0
	if res != nil {
		res.Sink = &result.Sink{Balances: []result.Balance{{Name: "calls = replies", Left: 2, Right: 1}}}
	}
}

func TestSideLastsAsLongAsTheRun(t *testing.T) {
	refused := errors.New("refused")
	for name, tc := range map[string]struct {
		side, driver error
		ended        int
	}{
		"whole run":           {nil, nil, 1},
		"side cannot begin":   {refused, nil, 0},
		"driver cannot begin": {nil, refused, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDriver{beginErr: tc.driver}
				side := &fakeSide{fails: tc.side, driver: d}
				res, err := Plan{
					Scenario: &scenario.Scenario{Name: "side", Duration: scenario.Duration(time.Second), Warmup: scenario.Duration(time.Second)},
					Side:     side, coarse: true,
					Workloads: []Workload{{
						Name: "w", Driver: d, Metrics: fakeMetrics(), Users: 1, Begins: func(int) time.Duration { return 0 }, Think: 100 * time.Millisecond,
					}},
				}.Run(context.Background(), "id")
				if failed := tc.side != nil || tc.driver != nil; failed != errors.Is(err, refused) {
					t.Fatalf("Run = %v", err)
				}
				if len(side.begun) != 1 || side.begun[0].Warmup != time.Second || side.begun[0].ID != "id" || len(side.ended) != tc.ended || side.early {
					t.Errorf("begun %+v, ended %v, before the driver: %v", side.begun, side.ended, side.early)
				}
				if err != nil {
					if tc.ended == 1 && side.ended[0] != nil {
						t.Error("a run that did not begin has a result")
					}
					return
				}
				if res.Validity.State != result.Invalid {
					t.Errorf("a sink that does not add up leaves the run %+v", res.Validity)
				}
			})
		})
	}
}
