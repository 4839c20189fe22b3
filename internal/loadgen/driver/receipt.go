package driver

import (
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// A receipt is when the bytes of one read arrived, in instants of the run.
type receipt struct {
	at       time.Duration // by the best source there was
	returned time.Duration // when the program had them
	after    time.Duration // when the read before had its bytes: no byte came earlier
	kernel   bool          // at is the kernel's stamp
	read     uint64        // number of the read
}

func newReceipt(clock engine.Clock, s rxtime.Stamp, read uint64) receipt {
	return receipt{
		at: clock.Since(s.At), returned: clock.Since(s.Returned), after: clock.Since(s.Previous),
		kernel: s.Kernel, read: read,
	}
}

// receiptMetrics is where a driver records what it knows of its reads.
type receiptMetrics struct {
	delay, unstamped, bound engine.MetricID
}

// record notes the generator's own delay of one read, or that it is not known.
func (m receiptMetrics) record(rec *engine.Recorder, r receipt) {
	if r.kernel {
		rec.Record(m.delay, int64(r.returned-r.at))
	} else {
		rec.Add(m.unstamped, 1)
	}
}

// share notes of n events that r brought together by how much each may have come
// before r's instant.
func (m receiptMetrics) share(rec *engine.Recorder, r receipt, n int64) {
	if n < 2 {
		return
	}
	for range n {
		rec.Record(m.bound, int64(r.at-r.after))
	}
}

var (
	sseReceipts = receiptMetrics{sseReadDelay, sseUnstamped, sseCoalescedBound}
	wsReceipts  = receiptMetrics{wsReadDelay, wsUnstamped, wsCoalescedBound}
)
