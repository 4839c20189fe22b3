package report

import (
	"fmt"
	"html/template"
	"math"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/chart"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A resources is what the server under test used, as it is shown; nil where
// loadgen has not started it.
type resources struct {
	Command string
	Rows    []resourceRow
	Unknown []string // in words
}

// A resourceRow is one figure of the server's, or of the sink's.
type resourceRow struct {
	Name, Value, Words string
	Bad                bool
}

func newResources(r *result.Resources) *resources {
	if r == nil {
		return nil
	}
	shown := &resources{Command: clean(r.Command)}
	add := func(name, value, words string) {
		shown.Rows = append(shown.Rows, resourceRow{Name: name, Value: value, Words: words})
	}
	if e := r.Ended; e != nil {
		shown.Rows = append(shown.Rows, resourceRow{
			Name: "ended", Value: result.Nanoseconds.Format(float64(e.AtNS)), Words: "into the run, by itself: " + clean(e.Status), Bad: true,
		})
	}
	if m := r.Measured; m != nil {
		add("CPU time", give(result.Nanoseconds, float64(m.CPUNS), float64(m.CPUErrorNS)), cpuWords(r))
		for _, p := range r.PerOperation {
			add("CPU "+an(p), give(result.Nanoseconds, p.CPUNS, p.ErrorNS), operationWords(p))
		}
		add("memory", result.Bytes.Format(m.RSSMeanBytes), memoryWords(r))
		if c := r.PerConnection; c != nil {
			add("memory a connection", give(result.Bytes, c.Bytes, c.ErrorBytes), connectionWords(r))
		}
		add("descriptors", mean(m.FDsMean), spanWords(r, m.FDsPeak, func(u *result.Usage) float64 { return u.FDsMean }, func(s *result.ResourceSample) int { return s.FDs }))
		add("threads", mean(m.ThreadsMean), spanWords(r, m.ThreadsPeak, func(u *result.Usage) float64 { return u.ThreadsMean }, func(s *result.ResourceSample) int { return s.Threads }))
		add("processes", whole(int64(m.ProcessesPeak)), "peak")
	}
	if r.BytesOut > 0 {
		add("sent", result.Bytes.Format(float64(r.BytesOut)), "bodies and messages that loadgen received, without headers and framing")
	}
	for _, u := range r.Unknown {
		shown.Unknown = append(shown.Unknown, clean(u))
	}
	return shown
}

// give is a value with its error.
func give(u result.Unit, v, off float64) string { return u.Format(v) + " ± " + u.Format(off) }

// mean is a mean of counts: one place behind the point says enough.
func mean(v float64) string { return result.One.Format(math.Round(v*10) / 10) }

// an names what an operation is, as "an arrival, chat".
func an(p result.PerOperation) string {
	article := "a "
	if p.Operation == "arrival" {
		article = "an "
	}
	of := clean(p.Workload)
	if of == "" {
		of = "all workloads"
	}
	return article + clean(p.Operation) + ", " + of
}

func cpuWords(r *result.Resources) string {
	words := "user and system, all processes: " + result.One.Format(r.Measured.Cores) + " cores"
	if r.Idle != nil {
		words += "; " + result.One.Format(r.Idle.Cores) + " before the load"
	}
	return words
}

func operationWords(p result.PerOperation) string {
	words := "of " + whole(p.Count)
	if p.Workload == "" {
		words += " that finished; what each workload took is not known"
	}
	if p.IdleNS > 0 {
		words += "; " + result.Nanoseconds.Format(p.IdleNS) + " of it without any load"
	}
	return words
}

func memoryWords(r *result.Resources) string {
	words := "resident, mean; peak " + result.Bytes.Format(float64(r.Measured.RSSPeakBytes))
	if r.Idle != nil {
		words += ", before " + result.Bytes.Format(r.Idle.RSSMeanBytes)
	}
	if r.After != nil {
		words += ", after " + result.Bytes.Format(float64(r.After.RSSBytes))
	}
	return words
}

func connectionWords(r *result.Resources) string {
	c := r.PerConnection
	words := fmt.Sprintf("of %s held, with %s descriptors more than before", mean(c.Connections), mean(c.FDs))
	if c.Bytes <= c.ErrorBytes {
		words += "; not told from noise"
	}
	if n := r.EarlierRuns; n > 0 {
		words += fmt.Sprintf("; the server had served %s before, and may have had the memory already", runs(n))
	}
	return words
}

func runs(n int) string {
	if n == 1 {
		return "a run"
	}
	return whole(int64(n)) + " runs"
}

// spanWords says a count's peak, and what it was before and after.
func spanWords(r *result.Resources, peak int, before func(*result.Usage) float64, after func(*result.ResourceSample) int) string {
	words := "mean; peak " + whole(int64(peak))
	if r.Idle != nil {
		words += ", before " + mean(before(r.Idle))
	}
	if r.After != nil {
		words += ", after " + whole(int64(after(r.After)))
	}
	return words
}

// mostPoints bounds the points of a picture.
const mostPoints = 120

// resourceFigures draws CPU and memory over the run.
func resourceFigures(r *result.Resources, warmup time.Duration) ([]figure, error) {
	if r == nil {
		return nil, nil
	}
	cores := chart.Series{Name: "cores", Sparse: math.Inf(1)}
	memory := chart.Series{Name: "resident", Sparse: math.Inf(1)}
	every := len(r.Series)/mostPoints + 1
	for i := every; i < len(r.Series); i += every {
		a, b := r.Series[i-every], r.Series[i]
		if a.AtNS < 0 || b.AtNS <= a.AtNS {
			continue // before the run
		}
		cores.Points = append(cores.Points, chart.Point{X: float64(a.AtNS+b.AtNS) / 2, Y: float64(b.CPUNS-a.CPUNS) / float64(b.AtNS-a.AtNS)})
		memory.Points = append(memory.Points, chart.Point{X: float64(b.AtNS), Y: float64(b.RSSBytes) / (1 << 20)})
	}
	picture := func(title, label, note string, s chart.Series) chart.Chart {
		return chart.Chart{
			Title: title, X: chart.Axis{Label: "time since the start", Duration: true}, Y: chart.Axis{Label: label},
			Warmup: float64(warmup), Series: []chart.Series{s}, Note: note,
		}
	}
	var all []figure
	for _, c := range []chart.Chart{
		picture("CPU of the server over time", "cores", "CPU time of all its processes between two samples, a second apart or more.", cores),
		picture("Memory of the server over time", "MiB", "Resident memory of all its processes, one sample a second or fewer.", memory),
	} {
		if c.Empty() {
			continue
		}
		svg, err := c.SVG()
		if err != nil {
			return nil, err
		}
		all = append(all, figure{Title: c.Title, Caption: c.Note, SVG: template.HTML(svg)})
	}
	return all, nil
}

// resources writes the section on a console.
func (t *textWriter) resources(r *resources) {
	if r == nil {
		return
	}
	t.line("")
	t.line("%s  %s", t.paint(bold, "server under test"), t.paint(dim, t.cut(r.Command, len("server under test  "))))
	t.rows(r.Rows)
	for _, u := range r.Unknown {
		t.line("  %s", t.paint(dim, t.cut("not known: "+u, len(indent))))
	}
}

// rows writes figures with their words.
func (t *textWriter) rows(rows []resourceRow) {
	grid := table{left: map[int]bool{0: true, 2: true}}
	names, values := 0, 0
	for _, row := range rows {
		names, values = max(names, columnsOf(row.Name)), max(values, columnsOf(row.Value))
	}
	words := len(indent) + names + len(gutter) + values + len(gutter)
	for _, row := range rows {
		colour := style("")
		if row.Bad {
			colour = red
		}
		grid.add(cell{row.Name, colour}, cell{row.Value, colour}, cell{t.cut(row.Words, words), dim})
	}
	t.grid(grid)
}

// markdownRows is figures with their words as rows of a table.
func markdownRows(rows []resourceRow) [][]string {
	var out [][]string
	for _, row := range rows {
		value := md(row.Value)
		if row.Bad {
			value = "**" + value + "**"
		}
		out = append(out, []string{md(row.Name), value, md(row.Words)})
	}
	return out
}

// markdownResources is the section of a pull request's report.
func markdownResources(r *resources) string {
	if r == nil {
		return ""
	}
	section := "\n### Server under test\n\n"
	if rows := markdownRows(r.Rows); len(rows) > 0 {
		section += markdownTable(":--|--:|:--", []string{"", "", ""}, rows)
	}
	for _, u := range r.Unknown {
		section += "\nNot known: " + md(u) + "\n"
	}
	return section
}
