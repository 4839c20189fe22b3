package result

import (
	"math"
	"sort"
	"time"
)

// Between is the usage of a part of the run, from the series; false where the
// series does not reach around it. CPU at an end that lies between two samples is
// taken to have been used evenly.
func (r *Resources) Between(from, to time.Duration) (Usage, bool) {
	return UsageBetween(r.Series, from, to)
}

// UsageBetween is Between for samples in ascending order of time. At least one
// sample must lie within the span.
func UsageBetween(samples []ResourceSample, from, to time.Duration) (Usage, bool) {
	if len(samples) == 0 || from >= to || samples[0].AtNS > from || samples[len(samples)-1].AtNS < to {
		return Usage{}, false
	}
	first := sort.Search(len(samples), func(i int) bool { return samples[i].AtNS >= from })
	last := sort.Search(len(samples), func(i int) bool { return samples[i].AtNS > to })
	within := samples[first:last]
	if len(within) == 0 {
		return Usage{}, false
	}
	begin, beginError := cpuAt(samples, from)
	end, endError := cpuAt(samples, to)
	u := Usage{
		FromNS: from, ToNS: to, CPUNS: end - begin, CPUErrorNS: beginError + endError,
		Cores: float64(end-begin) / float64(to-from), Samples: len(within),
	}
	var rss, squares float64
	for _, s := range within {
		rss += float64(s.RSSBytes)
		u.FDsMean += float64(s.FDs)
		u.ThreadsMean += float64(s.Threads)
		u.RSSPeakBytes = max(u.RSSPeakBytes, s.RSSBytes)
		u.FDsPeak, u.ThreadsPeak = max(u.FDsPeak, s.FDs), max(u.ThreadsPeak, s.Threads)
		u.ProcessesPeak = max(u.ProcessesPeak, s.Processes)
	}
	n := float64(len(within))
	u.RSSMeanBytes, u.FDsMean, u.ThreadsMean = rss/n, u.FDsMean/n, u.ThreadsMean/n
	for _, s := range within {
		d := float64(s.RSSBytes) - u.RSSMeanBytes
		squares += d * d
	}
	if len(within) > 1 {
		u.RSSSpreadBytes = math.Sqrt(squares / (n - 1))
	}
	return u, true
}

// cpuAt is the CPU time used until t, which lies within the samples, and by how
// much it may be off.
func cpuAt(samples []ResourceSample, t time.Duration) (used, off time.Duration) {
	after := sort.Search(len(samples), func(i int) bool { return samples[i].AtNS >= t })
	b := samples[after]
	if b.AtNS == t {
		return b.CPUNS, b.CPUErrorNS
	}
	a := samples[after-1]
	rate := float64(b.CPUNS-a.CPUNS) / float64(b.AtNS-a.AtNS)
	nearest := min(t-a.AtNS, b.AtNS-t)
	return a.CPUNS + time.Duration(rate*float64(t-a.AtNS)), max(a.CPUErrorNS, b.CPUErrorNS) + time.Duration(rate*float64(nearest))
}
