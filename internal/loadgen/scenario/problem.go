package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing wrong with a scenario, and where.
type Problem struct {
	File         string
	Line, Column int    // from 1; the column counts characters
	Path         string // of the key: "workloads.chat.load.rate"; empty for the file as a whole
	Message      string
	Source       string // the offending line
}

// Error is "file:line:column: path: message", then the line and a caret below
// the column.
func (p Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	source, caret := excerpt(p.Source, p.Column)
	margin := fmt.Sprintf("%5d | ", p.Line)
	fmt.Fprintf(&b, "\n%s%s\n%*s%s^", margin, source, len(margin), "| ", caret)
	return b.String()
}

// excerptWidth is how many characters of a source line a message shows.
const excerptWidth = 120

// excerpt cuts a line to the part about column and returns it with what stands
// before a caret below it. Tabs stay tabs, so that the caret stands right.
func excerpt(line string, column int) (shown, before string) {
	chars := []rune(strings.TrimRight(line, " \t"))
	at := min(max(column-1, 0), len(chars))
	if start := at - excerptWidth*2/3; start > 0 && len(chars) > excerptWidth {
		chars, at = append([]rune{'…'}, chars[start:]...), at-start+1
	}
	if len(chars) > excerptWidth {
		chars = append(slices.Clone(chars[:excerptWidth]), '…')
	}
	blank := slices.Clone(chars[:at])
	for i, c := range blank {
		if c != '\t' {
			blank[i] = ' '
		}
	}
	return printable(string(chars)), string(blank)
}

// printable replaces control characters other than tabs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return '�'
		}
		return r
	}, s)
}

// Problems is everything wrong with a scenario, sorted by place.
type Problems []Problem

// Error is every problem's text, one after the other.
func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, problem := range p {
		texts[i] = problem.Error()
	}
	return strings.Join(texts, "\n")
}

// sorted orders problems by place and drops repetitions.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return slices.Compact(p)
}
