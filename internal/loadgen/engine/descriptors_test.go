package engine

import (
	"strings"
	"testing"
)

func TestCheckDescriptors(t *testing.T) {
	workloads := []Workload{{MaxInFlight: 10_000}, {Users: 900}, {Users: 100}}
	for limit, refused := range map[int]bool{0: false, 1049: true, 1050: false, 20_000: false} {
		err := checkDescriptors(workloads, limit)
		if (err != nil) != refused {
			t.Errorf("limit %d: %v", limit, err)
		}
		if err != nil && !strings.Contains(err.Error(), "ulimit -n 1050") {
			t.Errorf("no remedy: %v", err)
		}
	}
	paced := append(workloads, Workload{Schedule: &every{}})
	if err := checkDescriptors(paced, 1050+waitersAhead-1); err == nil || !strings.Contains(err.Error(), "ulimit -n 1058") || !strings.Contains(err.Error(), "lower users to 999") {
		t.Errorf("timers of an open model not counted: %v", err)
	}
	if err := checkDescriptors(paced, 1050+waitersAhead); err != nil {
		t.Error(err)
	}
	if err := checkDescriptors([]Workload{{MaxInFlight: 1 << 30}}, 100); err != nil {
		t.Error(err)
	}
}

func TestMostDescriptors(t *testing.T) {
	workloads := []Workload{{Schedule: &every{}, MaxInFlight: 1000}, {Users: 500}}
	for limit, want := range map[int]int{0: 1500 + waitersAhead + spareDescriptors, 1024: 1024, 20_000: 1500 + waitersAhead + spareDescriptors} {
		if got := mostDescriptors(workloads, limit); got != want {
			t.Errorf("limit %d: %d, want %d", limit, got, want)
		}
	}
}

// A run that cannot have its connections is refused before any load.
func TestRunRefusesMoreUsersThanDescriptors(t *testing.T) {
	limit := fdLimit()
	if limit == 0 {
		t.Fatal("no descriptor limit is known here")
	}
	d := &fakeDriver{}
	_, err := planOf(0, 1, 0, Workload{Driver: d, Users: limit}).Run(t.Context(), "id")
	if err == nil || d.did.Load() != 0 || d.ended != 0 {
		t.Errorf("error %v, %d arrivals", err, d.did.Load())
	}
}
