package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Text writes what stands at the end of a run on a console.
func Text(w io.Writer, r *result.Result, o Options) error {
	v, err := newView(r)
	if err != nil {
		return err
	}
	t := &textWriter{o: o}
	t.head(v)
	t.thresholds(v)
	for _, x := range v.Workloads {
		t.workload(x)
	}
	t.sink(v.Sink)
	t.resources(v.Resources)
	t.health(v)
	_, err = t.b.WriteTo(w)
	return err
}

type textWriter struct {
	b bytes.Buffer
	o Options
}

func (t *textWriter) line(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// style is an ANSI graphic rendition.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	alarm  style = "1;37;41"
)

func (t *textWriter) paint(s style, text string) string {
	if !t.o.Color || text == "" || s == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func stateStyle(s result.State) style {
	switch s {
	case result.Valid:
		return green
	case result.Degraded:
		return yellow
	default:
		return red
	}
}

// head is what must be seen first: what does not add up, then the verdict.
func (t *textWriter) head(v *view) {
	t.line("")
	t.line("%s  %s", t.paint(bold, v.Name), t.paint(dim, joined(" · ", v.Target, v.Started, "measured "+v.Measured)))
	if v.Interrupted {
		t.line("%s", t.paint(yellow, "interrupted before its time"))
	}
	for _, u := range v.Uneven {
		t.line("")
		t.line("%s %s: %s does not add up", t.paint(alarm, " ERROR "), u.Workload, u.Name)
		t.line("        left %s, right %s, %s apart; no figure of this workload can be trusted", u.Left, u.Right, u.Apart)
	}
	t.line("")
	t.line("%s  %s", t.paint(stateStyle(v.State), string(v.State)), v.StateWords)
	for _, reason := range v.Reasons {
		remedy := ""
		if reason.Remedy != "" {
			remedy = " → " + reason.Remedy
		}
		t.line("  %s %s: %s%s", t.paint(stateStyle(reason.State), "!"), reason.Check, reason.Detail, remedy)
	}
	for _, warning := range v.Warnings {
		t.line("  %s %s", t.paint(yellow, "warning:"), warning)
	}
}

func (t *textWriter) thresholds(v *view) {
	if len(v.Thresholds) == 0 {
		return
	}
	t.line("")
	t.line("%s  %s", t.paint(bold, "thresholds"), v.ThresholdWords)
	grid := table{left: map[int]bool{0: true, 1: true, 2: true}}
	for _, x := range v.Thresholds {
		colour := green
		if !x.Pass {
			colour = red
		}
		grid.add(cell{x.Mark(), colour}, cell{x.Metric, ""}, cell{x.Condition, ""}, cell{x.Observed, colour}, cell{x.Samples + " samples", dim})
	}
	t.grid(grid)
}

func (t *textWriter) workload(x workload) {
	t.line("")
	t.line("%s  %s", t.paint(bold, x.Name), t.paint(dim, joined(" · ", x.Protocol, x.Load)))
	t.integrity(x)
	t.distributions(x)
	t.counts(x)
	if len(x.Errors) > 0 {
		t.line("")
		t.line("  %s", t.paint(red, "errors"))
		var counts, classes int
		for _, e := range x.Errors {
			counts, classes = max(counts, columnsOf(e.Count)), max(classes, columnsOf(e.Class))
		}
		example := len(indent) + counts + len(gutter) + classes + len(gutter)
		grid := table{left: map[int]bool{1: true, 2: true}}
		for _, e := range x.Errors {
			grid.add(cell{e.Count, red}, cell{e.Class, ""}, cell{t.cut(e.Example, example), dim})
		}
		t.grid(grid)
	}
	for _, b := range x.Balances {
		if b.Even {
			t.line("  %s %s: %s", t.paint(green, "="), b.Name, b.Left)
		} else {
			t.line("  %s %s: %s against %s", t.paint(alarm, "≠"), b.Name, b.Left, b.Right)
		}
	}
}

// cut shortens text so that it ends within the terminal when it begins at
// column at.
func (t *textWriter) cut(text string, at int) string {
	room := t.o.Width - at
	if t.o.Width <= 0 || columnsOf(text) <= room {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(0, min(len(runes), room-1))]) + "…"
}

func (t *textWriter) integrity(x workload) {
	grid := table{left: map[int]bool{0: true, 2: true}}
	var names, counts int
	for _, f := range x.Integrity {
		if !f.None {
			names, counts = max(names, columnsOf(f.Name)), max(counts, columnsOf(f.Count))
		}
	}
	words := len(indent) + names + len(gutter) + counts + len(gutter)
	for _, f := range x.Integrity {
		if f.None {
			continue
		}
		colour := style("")
		if f.Bad {
			colour = red
		}
		grid.add(cell{f.Name, colour}, cell{f.Count, colour}, cell{t.cut(f.Words, words), dim})
	}
	t.grid(grid)
	if len(x.None) > 0 {
		var phrases []cell
		for i, name := range x.None {
			if i == 0 {
				name = "none: " + name
			}
			phrases = append(phrases, cell{name, dim})
		}
		t.wrapped(phrases)
	}
}

// dropOrder is which columns of distributions go first on a narrow terminal.
func dropOrder() []string { return []string{"p90", "mean", "p99.9", "max", "p95"} }

func (t *textWriter) distributions(x workload) {
	if len(x.Distributions) == 0 {
		return
	}
	t.line("")
	dropped := make(map[string]bool)
	grid := distributionTable(x, dropped)
	for _, name := range dropOrder() {
		if t.o.Width <= 0 || grid.width() <= t.o.Width {
			break
		}
		dropped[name] = true
		grid = distributionTable(x, dropped)
	}
	t.grid(grid)
	if x.Sparse {
		t.line("  %s", t.paint(dim, sparseNote()))
	}
	for _, row := range x.Distributions {
		if row.OutOfRange != "" {
			t.line("  %s %s of %s lay outside its range", t.paint(yellow, "!"), row.OutOfRange, row.Name)
		}
	}
}

func distributionTable(x workload, dropped map[string]bool) table {
	grid := table{left: map[int]bool{0: true}}
	head := []cell{{"", dim}, {"n", dim}}
	for _, name := range columns() {
		if !dropped[name] {
			head = append(head, cell{name, dim})
		}
	}
	grid.add(head...)
	for _, row := range x.Distributions {
		cells := []cell{{row.Name, ""}, {row.Count, dim}}
		for i, name := range columns() {
			if dropped[name] {
				continue
			}
			colour := style("")
			if row.Values[i].Sparse {
				colour = dim
			}
			cells = append(cells, cell{row.Values[i].String(), colour})
		}
		grid.add(cells...)
	}
	return grid
}

func (t *textWriter) counts(x workload) {
	if len(x.Ratios)+len(x.Scalars) > 0 {
		t.line("")
		grid := table{left: map[int]bool{0: true, 2: true}}
		for _, r := range x.Ratios {
			grid.add(cell{r.Name, ""}, cell{r.Value, ""}, cell{r.Num + " ÷ " + r.Den, dim})
		}
		for _, s := range x.Scalars {
			grid.add(cell{s.Name, ""}, cell{s.Text, ""}, cell{"", ""})
		}
		t.grid(grid)
	}
	if len(x.Counters) > 0 {
		t.line("")
		var phrases []cell
		for _, c := range x.Counters {
			phrases = append(phrases, cell{c.Name + " " + c.Text, ""})
		}
		t.wrapped(phrases)
	}
	if len(x.Empty) > 0 {
		t.line("  %s", t.paint(dim, "no data: "+strings.Join(x.Empty, ", ")))
	}
}

// wrapped sets short phrases side by side, in lines no longer than the
// terminal, or 100 columns.
func (t *textWriter) wrapped(phrases []cell) {
	width := t.o.Width
	if width <= 0 {
		width = 100
	}
	const between = " · "
	line, at := "", 0
	for _, p := range phrases {
		n := columnsOf(p.text)
		if at > 0 && len(indent)+at+columnsOf(between)+n > width {
			t.line("%s%s", indent, line)
			line, at = "", 0
		}
		if at > 0 {
			line += between
			at += columnsOf(between)
		}
		line += t.paint(p.style, p.text)
		at += n
	}
	t.line("%s%s", indent, line)
}

func (t *textWriter) health(v *view) {
	t.line("")
	t.line("%s", t.paint(bold, "generator"))
	var phrases []cell
	for _, h := range v.Health {
		phrase := cell{text: h.Name + " " + h.Value}
		if h.State != result.Valid {
			phrase.style = stateStyle(h.State)
		}
		phrases = append(phrases, phrase)
	}
	t.wrapped(phrases)
	t.line("")
}

// joined joins what is not empty.
func joined(sep string, parts ...string) string {
	var full []string
	for _, p := range parts {
		if p != "" {
			full = append(full, p)
		}
	}
	return strings.Join(full, sep)
}
