package report

import (
	"strings"
	"unicode/utf8"
)

// A table is set in columns; all are flush right but those in left.
type table struct {
	rows [][]cell
	left map[int]bool
}

// A cell is text and the style it is painted in once it has been set.
type cell struct {
	text  string
	style style
}

func (g *table) add(cells ...cell) { g.rows = append(g.rows, cells) }

// indent and gutter are the spaces before a table and between its columns.
const indent, gutter = "  ", "  "

// columnsOf is the width of text on a terminal. Everything the reports say takes
// one column a rune.
func columnsOf(text string) int { return utf8.RuneCountInString(text) }

func (g *table) widths() []int {
	var widths []int
	for _, row := range g.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columnsOf(c.text))
		}
	}
	return widths
}

// width is how many columns of a terminal the table takes.
func (g *table) width() int {
	total := len(indent)
	for i, w := range g.widths() {
		if i > 0 {
			total += len(gutter)
		}
		total += w
	}
	return total
}

// grid writes a table.
func (t *textWriter) grid(g table) {
	widths := g.widths()
	for _, row := range g.rows {
		var b strings.Builder
		b.WriteString(indent)
		for i, c := range row {
			if i > 0 {
				b.WriteString(gutter)
			}
			pad := strings.Repeat(" ", widths[i]-columnsOf(c.text))
			switch {
			case !g.left[i]:
				b.WriteString(pad + t.paint(c.style, c.text))
			case i == len(row)-1:
				b.WriteString(t.paint(c.style, c.text))
			default:
				b.WriteString(t.paint(c.style, c.text) + pad)
			}
		}
		t.line("%s", b.String())
	}
}
