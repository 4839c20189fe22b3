package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// maxMarkdown keeps a report below what a pull request's comment takes, 65,536
// characters, with room for what is written around it.
const maxMarkdown = 60 << 10

// maxMarkdownErrors and maxMarkdownExample bound what a server's answers add.
const (
	maxMarkdownErrors  = 20
	maxMarkdownExample = 200
)

// Markdown writes a report for a pull request, below 64 KiB: sections that do
// not fit are left out, and their number said.
func Markdown(w io.Writer, r *result.Result) error {
	v, err := newView(r)
	if err != nil {
		return err
	}
	sections := []string{markdownHead(v), markdownThresholds(v)}
	for _, x := range v.Workloads {
		sections = append(sections, markdownWorkload(x)...)
	}
	sections = append(sections, markdownSink(v.Sink), markdownResources(v.Resources), markdownHealth(v), markdownFoot(v))

	var b strings.Builder
	left := 0
	for _, s := range sections {
		if b.Len()+len(s) > maxMarkdown {
			left++
			continue
		}
		b.WriteString(s)
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n_%d sections left out to keep this below 64 KiB._\n", left)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func markdownHead(v *view) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", md(v.Name))
	if v.Interrupted {
		b.WriteString("**Interrupted before its time.**\n\n")
	}
	for _, u := range v.Uneven {
		fmt.Fprintf(&b, "> [!CAUTION]\n> **ERROR: %s: %s does not add up.** Left %s, right %s, %s apart; no figure of this workload can be trusted.\n\n",
			md(u.Workload), md(u.Name), u.Left, u.Right, u.Apart)
	}
	mark := map[result.State]string{result.Valid: "🟢", result.Degraded: "🟡"}[v.State]
	if mark == "" {
		mark = "🔴"
	}
	fmt.Fprintf(&b, "%s **%s**: %s.\n", mark, v.State, v.StateWords)
	for _, reason := range v.Reasons {
		fmt.Fprintf(&b, "- **%s**: %s.", md(reason.Check), md(strings.TrimSuffix(reason.Detail, ".")))
		if reason.Remedy != "" {
			fmt.Fprintf(&b, " Remedy: %s.", md(strings.TrimSuffix(reason.Remedy, ".")))
		}
		b.WriteString("\n")
	}
	for _, warning := range v.Warnings {
		fmt.Fprintf(&b, "- warning: %s\n", md(warning))
	}
	return b.String()
}

func markdownThresholds(v *view) string {
	if len(v.Thresholds) == 0 {
		return ""
	}
	rows := make([][]string, 0, len(v.Thresholds))
	for _, t := range v.Thresholds {
		mark := "✅"
		if !t.Pass {
			mark = "❌"
		}
		rows = append(rows, []string{mark, md(t.Metric), md(t.Condition), t.Observed, t.Samples})
	}
	return fmt.Sprintf("\n### Thresholds: %s\n\n", v.ThresholdWords) +
		markdownTable(":-:|:--|:--|--:|--:", []string{"", "metric", "condition", "observed", "samples"}, rows)
}

// markdownWorkload returns the workload's tables as sections of their own.
func markdownWorkload(x workload) []string {
	sections := []string{fmt.Sprintf("\n### %s\n\n%s\n", md(x.Name), md(joined(" · ", x.Protocol, x.Load)))}
	table := func(align string, head []string, rows [][]string) {
		if len(rows) > 0 {
			sections = append(sections, "\n"+markdownTable(align, head, rows))
		}
	}
	var rows [][]string
	for _, f := range x.Integrity {
		if !f.None {
			rows = append(rows, []string{md(f.Name), f.Count, md(f.Words)})
		}
	}
	table(":--|--:|:--", []string{"outcome", "", ""}, rows)
	if len(x.None) > 0 {
		sections = append(sections, "\nNone: "+md(strings.Join(x.None, ", "))+"\n")
	}

	rows = nil
	for _, d := range x.Distributions {
		row := []string{md(d.Name), d.Count}
		for _, q := range d.Values {
			row = append(row, md(q.String()))
		}
		rows = append(rows, row)
	}
	table(":--"+strings.Repeat("|--:", len(columns())+1), append([]string{"", "n"}, columns()...), rows)
	if x.Sparse {
		sections = append(sections, "\n_"+md(sparseNote())+"._\n")
	}

	rows = nil
	for _, r := range x.Ratios {
		rows = append(rows, []string{md(r.Name), r.Value, r.Num + " ÷ " + r.Den})
	}
	for _, s := range x.Scalars {
		rows = append(rows, []string{md(s.Name), s.Text, ""})
	}
	table(":--|--:|:--", []string{"ratio", "", ""}, rows)

	rows = nil
	for i, e := range x.Errors {
		if i == maxMarkdownErrors {
			rows = append(rows, []string{"", fmt.Sprintf("and %d more classes", len(x.Errors)-i), ""})
			break
		}
		rows = append(rows, []string{e.Count, md(e.Class), md(shortened(e.Example, maxMarkdownExample))})
	}
	table("--:|:--|:--", []string{"errors", "class", "first example"}, rows)

	rows = nil
	for _, b := range x.Balances {
		mark := "="
		if !b.Even {
			mark = "**≠**"
		}
		rows = append(rows, []string{md(b.Name), b.Left, mark, b.Right})
	}
	table(":--|--:|:-:|:--", []string{"balance", "left", "", "right"}, rows)

	var counters []string
	for _, c := range x.Counters {
		counters = append(counters, md(c.Name)+" "+c.Text)
	}
	if len(counters) > 0 {
		sections = append(sections, "\n"+strings.Join(counters, " · ")+"\n")
	}
	if len(x.Empty) > 0 {
		sections = append(sections, "\nNo data: "+md(strings.Join(x.Empty, ", "))+"\n")
	}
	return sections
}

func markdownHealth(v *view) string {
	var rows [][]string
	for _, h := range v.Health {
		value := h.Value
		if h.State != result.Valid {
			value = "**" + value + "** (" + string(h.State) + ")"
		}
		rows = append(rows, []string{md(h.Name), value, h.Limits, md(h.Words)})
	}
	return "\n<details><summary>Generator health</summary>\n\n" + markdownTable(":--|:--|:--|:--", []string{"gauge", "", "DEGRADED / INVALID beyond", ""}, rows) + "\n</details>\n"
}

func markdownFoot(v *view) string {
	var source []string
	for _, p := range v.Source {
		source = append(source, p.Name+" "+p.Text)
	}
	return fmt.Sprintf("\n<sub>%s · %s · measured %s · %s</sub>\n", md(v.Started), md(v.Target), v.Measured, md(strings.Join(source, " · ")))
}

func markdownTable(align string, head []string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s|\n", strings.Join(head, " | "), align)
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// md writes text so that Markdown shows it as it is: no markup, no mention of a
// user, no cell boundary.
func md(text string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;", "|", `\|`, `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "~", `\~`, "#", `\#`,
		"://", ":&#47;&#47;",
	).Replace(text)
}

// shortened cuts text to at most n runes.
func shortened(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}
