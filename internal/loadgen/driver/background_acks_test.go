package driver

import (
	"math"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

func TestAckSamples(t *testing.T) {
	t.Parallel()
	split := func(pendings ...int64) (few, many int64) {
		var s ackSamples
		s.open()
		for _, p := range pendings {
			s.add(p, time.Duration(p)*time.Millisecond)
		}
		rec := engine.NewRecorder(backgroundMetrics(), 0)
		s.split(rec)
		f := collect(t, rec)
		for name, n := range map[string]*int64{"service_time{jobs=few}": &few, "service_time{jobs=many}": &many} {
			if d := f.metrics[name].Distribution; d != nil {
				*n = d.Count
			}
		}
		return few, many
	}
	for _, tt := range []struct {
		pendings  []int64
		few, many int64
	}{
		{nil, 0, 0},
		{[]int64{5}, 0, 0},
		{[]int64{5, 5, 5, 5}, 0, 0},
		{[]int64{1, 2}, 1, 1},
		{[]int64{3, 2, 1}, 1, 1},
		{[]int64{1, 1, 2, 2, 3, 3}, 2, 2},
		{[]int64{0, 0, 0, 0, 1}, 0, 0}, // two thirds of them met the same number
		{[]int64{0, 1, 1, 1, 9, 9}, 4, 2},
		{[]int64{90, 95, 100}, 1, 1},
		{[]int64{91, 95, 100}, 0, 0}, // as good as the same
	} {
		if few, many := split(tt.pendings...); few != tt.few || many != tt.many {
			t.Errorf("%v: %d and %d, want %d and %d", tt.pendings, few, many, tt.few, tt.many)
		}
	}
	// Of more than are kept a fair part of each kind is.
	var s ackSamples
	s.open()
	for i := range int64(3 * maxAcks) {
		s.add(i/maxAcks, math.MaxInt64)
	}
	kept := make(map[uint64]int)
	for i := range s.kept {
		kept[s.kept[i].Load()>>tookBits]++
	}
	for third := range uint64(3) {
		if n := kept[third]; n < maxAcks*30/100 || n > maxAcks*37/100 {
			t.Errorf("%v: not a third of each", kept)
		}
	}
}
