package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A preparedDriver takes its time before the run and writes down what is called.
type preparedDriver struct {
	fakeDriver
	prepareErr error
	log        *[]string
	name       string
}

func (d *preparedDriver) Prepare(ctx context.Context, of Run) error {
	*d.log = append(*d.log, "prepare "+d.name+" "+of.Workload+" "+of.ID)
	timer := time.NewTimer(3 * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.prepareErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *preparedDriver) End(rec *Recorder) {
	*d.log = append(*d.log, "end "+d.name)
	d.fakeDriver.End(rec)
}

// What a driver does before the clock starts makes no arrival late.
func TestPreparedBeforeTheClockStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		d := &preparedDriver{log: &log, name: "a"}
		began := time.Now()
		plan := planOf(0, time.Second, 0, Workload{Driver: d, Schedule: &every{gap: time.Second, end: time.Second}, MaxInFlight: 1})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		if late := res.Started.Sub(began); late < 3*time.Second || res.Health.LatenessP99NS > time.Millisecond {
			t.Errorf("the run started %s after the preparation began; lateness %s", late, res.Health.LatenessP99NS)
		}
		if want := []string{"prepare a a id", "end a"}; !slices.Equal(log, want) {
			t.Errorf("%q, want %q", log, want)
		}
	})
}

// Whoever was prepared is ended, however far the run came.
func TestPreparedAreEnded(t *testing.T) {
	refused := errors.New("refused")
	for _, tc := range []struct {
		name    string
		prepare error // of the second of three
		begin   error
		cancel  bool
		want    []string
		wantErr string
	}{
		{"the second cannot prepare", refused, nil, false, []string{"prepare a", "prepare b", "end a"}, "workload b: refused"},
		{"the second cannot begin", nil, refused, false, []string{"prepare a", "prepare b", "prepare c", "end a", "end b", "end c"}, "workload b: refused"},
		{"interrupted", nil, nil, true, []string{"prepare a"}, "context canceled"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log []string
			var workloads []Workload
			for _, name := range []string{"a", "b", "c"} {
				d := &preparedDriver{log: &log, name: name}
				if name == "b" {
					d.prepareErr, d.beginErr = tc.prepare, tc.begin
				}
				workloads = append(workloads, Workload{Driver: d, Schedule: &every{gap: time.Second, end: time.Second}, MaxInFlight: 1})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.cancel {
				time.AfterFunc(time.Second, cancel)
			}
			_, err := planOf(0, time.Second, 0, workloads...).Run(ctx, "id")
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("%s: error %v, want %s", tc.name, err, tc.wantErr)
			}
			got := make([]string, len(log))
			for i, line := range log {
				got[i] = strings.Join(strings.Fields(line)[:2], " ")
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
		})
	}
}
