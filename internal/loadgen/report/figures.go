package report

import (
	"html/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edgeload/edgeload/internal/loadgen/chart"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A figure is a picture with its caption.
type figure struct {
	Title, Caption string
	SVG            template.HTML // made by chart, which escapes what it is given
}

// figures draws what the workload has data for.
func figures(w *result.Workload, warmup time.Duration) ([]figure, error) {
	p := viewOf(w).pictures
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
