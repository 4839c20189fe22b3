package result

import (
	"fmt"
	"math"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Reasons why a figure of resources is missing.
const (
	sharedConnections = "memory a connection: the server held %s more descriptors than before for %s in flight: it closes or shares connections (HTTP/2 does), or another process holds them"
	keptConnections   = "memory a connection: requests of %s keep connections open between them, and how many is not counted"
	noConnections     = "memory a connection: less than one was held on average"
)

// leastFDShare is how many descriptors a server must have gained for each
// arrival under way, for these to be taken for connections of their own.
const leastFDShare = .9

// SetPerWork works out CPU an operation and memory a connection of res from its
// resources' spans and its workloads, and says what cannot be known. Plateau is the
// usage of the last half of the measured part.
func (r *Resources) SetPerWork(res *Result, plateau Usage) {
	r.PerOperation, r.PerConnection, r.BytesOut = nil, nil, 0
	for i := range res.Workloads {
		r.BytesOut += int64(res.Workloads[i].counter("bytes_in"))
	}
	if r.Measured == nil {
		return
	}
	if r.Ended != nil {
		r.Unknown = append(r.Unknown, "CPU an operation, memory a connection: the server ended in the run")
		return
	}
	r.setPerOperation(res)
	r.setPerConnection(res, plateau)
}

// setPerOperation divides the CPU time of the measured part.
func (r *Resources) setPerOperation(res *Result) {
	add := func(workload, operation string, count int64, cut float64) {
		if count <= 0 {
			return
		}
		n, u := float64(count), r.Measured
		p := PerOperation{Workload: workload, Operation: operation, Count: count, CPUNS: float64(u.CPUNS) / n}
		p.ErrorNS = float64(u.CPUErrorNS)/n + p.CPUNS*cut
		if r.Idle != nil {
			p.IdleNS = r.Idle.Cores * float64(u.ToNS-u.FromNS) / n
		}
		r.PerOperation = append(r.PerOperation, p)
	}
	var finished int64
	var open float64
	for i := range res.Workloads {
		w := &res.Workloads[i]
		finished += int64(w.counter("finished"))
		open += float64(w.inFlightAt(r.Measured.ToNS) - w.inFlightAt(r.Measured.FromNS))
	}
	// cut is the share of the work that may be in one of the two numbers only.
	cut := math.Min(1, math.Abs(open)/math.Max(1, float64(finished)))
	if len(res.Workloads) != 1 {
		add("", "arrival", finished, cut)
		return
	}
	w := &res.Workloads[0]
	if w.Protocol == scenario.WebSocket {
		// A member's life is no unit of work: what it is there for are the messages.
		add(w.Name, "delivery", int64(w.counter("received")), 0)
		return
	}
	add(w.Name, "arrival", finished, cut)
	add(w.Name, "token", int64(w.counter("chunks")), cut)
}

// setPerConnection divides the memory gained between before the load and the
// plateau.
func (r *Resources) setPerConnection(res *Result, plateau Usage) {
	if r.Idle == nil || plateau.Samples == 0 {
		return
	}
	var held float64
	for i := range res.Workloads {
		w := &res.Workloads[i]
		if w.Protocol != scenario.SSE && w.Protocol != scenario.WebSocket {
			r.Unknown = append(r.Unknown, fmt.Sprintf(keptConnections, w.Name))
			return
		}
		held += w.meanInFlight(plateau.FromNS, plateau.ToNS)
	}
	fds := plateau.FDsMean - r.Idle.FDsMean
	switch {
	case held < 1:
		r.Unknown = append(r.Unknown, noConnections)
		return
	case fds < leastFDShare*held:
		r.Unknown = append(r.Unknown, fmt.Sprintf(sharedConnections, One.Format(math.Round(fds)), One.Format(math.Round(held))))
		return
	}
	r.PerConnection = &PerConnection{
		Bytes:       (plateau.RSSMeanBytes - r.Idle.RSSMeanBytes) / held,
		ErrorBytes:  math.Hypot(plateau.RSSSpreadBytes, r.Idle.RSSSpreadBytes) / held,
		Connections: held, FDs: fds,
		BeforeBytes: r.Idle.RSSMeanBytes, PlateauBytes: plateau.RSSMeanBytes,
	}
}

// inFlightAt is the number of arrivals under way at the end of the interval that
// ends nearest to t; 0 at the start of the run.
func (w *Workload) inFlightAt(t time.Duration) int64 {
	nearest, n := t, int64(0)
	for _, iv := range w.Intervals {
		if d := (iv.EndNS - t).Abs(); d < nearest {
			nearest, n = d, iv.InFlight
		}
	}
	return n
}

// meanInFlight is the mean over the intervals that end within a span.
func (w *Workload) meanInFlight(from, to time.Duration) float64 {
	var sum, n float64
	for _, iv := range w.Intervals {
		// An interval is closed a few milliseconds after its second.
		if end := iv.EndNS.Truncate(100 * time.Millisecond); end >= from && end < to {
			sum += float64(iv.InFlight)
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}
