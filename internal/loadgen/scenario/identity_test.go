package scenario

import (
	"math"
	"testing"
)

func TestArrivalID(t *testing.T) {
	for _, seq := range []uint64{0, 17, math.MaxUint64} {
		mark := RunMark("20261124T000000.000Z-app", "jobs")
		id := ArrivalID(mark, seq)
		gotMark, gotSeq, ok := ParseArrivalID(id)
		if !ok || gotMark != mark || gotSeq != seq {
			t.Errorf("%s reads as %x, %d, %v", id, gotMark, gotSeq, ok)
		}
	}
	if RunMark("a", "jobs") == RunMark("b", "jobs") || RunMark("a", "jobs") == RunMark("a", "rooms") {
		t.Error("two runs or workloads share a mark")
	}
	d := &Data{Sink: "http://127.0.0.1:9", Workload: "jobs", RunID: "a", Seq: 3}
	if want := "http://127.0.0.1:9/jobs/" + d.ID(); d.Callback() != want {
		t.Errorf("callback %s, want %s", d.Callback(), want)
	}
	if n := testing.AllocsPerRun(100, func() { ParseArrivalID("00112233445566aa-17") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseArrivalID(f *testing.F) {
	f.Add("00112233445566aa-17")
	f.Add("00112233445566aa-017")
	f.Fuzz(func(t *testing.T, id string) {
		mark, seq, ok := ParseArrivalID(id)
		if ok && ArrivalID(mark, seq) != id {
			t.Errorf("%q reads as %x, %d", id, mark, seq)
		}
	})
}
