package report

import (
	"html/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edgeload/edgeload/internal/loadgen/chart"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A figure is a picture with its caption.
type figure struct {
	Title, Caption string
	SVG            template.HTML // made by chart, which escapes what it is given
}

// A plan says which metrics of a protocol deserve pictures.
type plan struct {
	percentiles  []picture
	overTime     []string
	distribution picture
	rates        []chart.Count
	ratesTitle   string
	ratesLabel   string
	inFlight     string
}

// A picture is a title and the metrics that share it.
type picture struct {
	title   string
	metrics []string
}

func planFor(w *result.Workload) plan {
	switch w.Protocol {
	case scenario.SSE:
		return plan{
			percentiles: []picture{
				{"Time to first token by percentile", []string{"ttft", "ttft_service"}},
				{"Time between tokens by percentile", []string{"itl", "tpot"}},
			},
			overTime:     []string{"ttft", "itl"},
			distribution: picture{"Distribution of TTFT and ITL", []string{"ttft", "itl"}},
			rates: []chart.Count{
				{Name: "finished", Counters: []string{"finished"}},
				{Name: "failed", Counters: []string{"failed"}},
			},
			ratesTitle: "Streams a second", ratesLabel: "streams/s", inFlight: "streams",
		}
	case scenario.HTTP:
		return plan{
			percentiles: []picture{
				{"Latency by percentile", []string{"latency", "service_time"}},
				{"Time to the first byte by percentile", []string{"ttfb"}},
			},
			overTime:     []string{"latency", "ttfb"},
			distribution: picture{"Distribution of latency and TTFB", []string{"latency", "ttfb"}},
			rates: []chart.Count{
				{Name: "finished", Counters: []string{"finished"}},
				{Name: "failed", Counters: []string{"failed"}},
			},
			ratesTitle: "Requests a second", ratesLabel: "requests/s", inFlight: "requests",
		}
	case scenario.WebSocket:
		return plan{
			percentiles:  []picture{{"Fanout and spread by percentile", []string{"fanout", "spread"}}},
			overTime:     []string{"fanout", "spread"},
			distribution: picture{"Distribution of fanout and spread", []string{"fanout", "spread"}},
			rates: []chart.Count{
				{Name: "received", Counters: []string{"received"}},
				{Name: "expected", Counters: []string{"expected"}},
				{Name: "failed", Counters: []string{"connect_failed", "connections_lost", "publish_failed"}},
			},
			ratesTitle: "Deliveries a second", ratesLabel: "deliveries/s", inFlight: "connections",
		}
	}
	p := plan{
		rates:      []chart.Count{{Name: "finished", Counters: []string{"finished"}}},
		ratesTitle: "Arrivals finished a second", ratesLabel: "arrivals/s", inFlight: "arrivals",
	}
	for _, m := range w.Metrics {
		if m.Kind == result.Histogram && m.Unit == result.Nanoseconds && m.Name != "lateness" {
			p.percentiles = []picture{{m.Name + " by percentile", []string{m.Name}}}
			p.overTime = []string{m.Name}
			p.distribution = picture{"Distribution of " + m.Name, []string{m.Name}}
			break
		}
	}
	return p
}

// figures draws what the workload has data for.
func figures(w *result.Workload, warmup time.Duration) ([]figure, error) {
	p := planFor(w)
	var charts []chart.Chart
	add := func(c chart.Chart, err error) error {
		if err == nil && !c.Empty() {
			charts = append(charts, c)
		}
		return err
	}
	for _, x := range p.percentiles {
		if err := add(chart.ByPercentile(x.title, lines(w, x.metrics)...)); err != nil {
			return nil, err
		}
	}
	if len(w.Intervals) > 0 {
		for _, l := range lines(w, p.overTime) {
			if err := add(chart.LatencyOverTime(sentence(l.Name)+" over time", l, w.Intervals, warmup)); err != nil {
				return nil, err
			}
		}
	}
	if err := add(chart.Distribution(p.distribution.title, lines(w, p.distribution.metrics)...)); err != nil {
		return nil, err
	}
	if len(w.Intervals) > 0 {
		var present []chart.Count
		for _, c := range p.rates {
			if total(w, c.Counters) {
				present = append(present, c)
			}
		}
		_ = add(chart.RatesOverTime(p.ratesTitle, p.ratesLabel, present, w.Intervals, warmup), nil)
		_ = add(chart.InFlightOverTime("In flight over time", p.inFlight, w.Intervals, warmup), nil)
	}
	var all []figure
	for _, c := range charts {
		svg, err := c.SVG()
		if err != nil {
			return nil, err
		}
		all = append(all, figure{Title: c.Title, Caption: c.Note, SVG: template.HTML(svg)})
	}
	return all, nil
}

// total reports whether the workload has any of the counters.
func total(w *result.Workload, names []string) bool {
	for _, name := range names {
		if _, ok := count(w, name); ok {
			return true
		}
	}
	return false
}

func lines(w *result.Workload, names []string) []chart.Line {
	var all []chart.Line
	for _, name := range names {
		if m := find(w, name); m != nil {
			all = append(all, chart.Line{Name: label(name), Metric: *m})
		}
	}
	return all
}

// sentence begins text with a capital letter.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
