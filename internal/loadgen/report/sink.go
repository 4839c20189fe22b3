package report

import (
	"maps"
	"slices"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A sink is what came to loadgen's own endpoint, as it is shown; nil where the run had
// none.
type sink struct {
	URL  string
	Rows []resourceRow
}

func newSink(s *result.Sink) *sink {
	if s == nil {
		return nil
	}
	shown := &sink{URL: clean(s.URL)}
	for _, c := range s.Calls {
		shown.Rows = append(shown.Rows, resourceRow{Name: clean(c.Name), Value: whole(c.Calls), Words: replyWords(c)})
	}
	for _, c := range s.Strays {
		shown.Rows = append(shown.Rows, resourceRow{Name: "/" + clean(c.Name), Value: whole(c.Calls), Words: "calls that are nobody's: outside of their run, or to a mistaken address", Bad: true})
	}
	for _, other := range []struct {
		name  string
		n     int64
		words string
		bad   bool
	}{
		{"unanswered", s.Unanswered, "calls whose caller left, or whose run ended, before their answer was written", false},
		{"broken", s.Broken, "requests that were no calls: not HTTP, too long, or never whole", true},
		{"refused", s.Refused, "connections that were closed at once, for want of room", true},
	} {
		if other.n > 0 {
			shown.Rows = append(shown.Rows, resourceRow{Name: other.name, Value: whole(other.n), Words: other.words, Bad: other.bad})
		}
	}
	return shown
}

// replyWords says what the calls of a name were given.
func replyWords(c result.SinkCalls) string {
	if len(c.Replies) == 0 {
		return "calls for the workload"
	}
	var parts []string
	for _, reply := range slices.Sorted(maps.Keys(c.Replies)) {
		parts = append(parts, clean(reply)+" "+whole(c.Replies[reply])+"×")
	}
	return "calls, given " + strings.Join(parts, ", ")
}

// unevenSums are those of balances that do not come out even.
func unevenSums(of string, balances []result.Balance) []uneven {
	var out []uneven
	for _, b := range balances {
		if !b.Even() {
			out = append(out, uneven{
				Workload: of, Name: clean(b.Name), Left: whole(b.Left), Right: whole(b.Right), Apart: whole(max(b.Left-b.Right, b.Right-b.Left)),
			})
		}
	}
	return out
}

// sink writes the section on a console.
func (t *textWriter) sink(s *sink) {
	if s == nil {
		return
	}
	t.line("")
	t.line("%s  %s", t.paint(bold, "sink"), t.paint(dim, t.cut(s.URL, len("sink  "))))
	t.rows(s.Rows)
}

// markdownSink is the section of a pull request's report.
func markdownSink(s *sink) string {
	if s == nil {
		return ""
	}
	section := "\n### Sink\n\n"
	if rows := markdownRows(s.Rows); len(rows) > 0 {
		section += markdownTable(":--|--:|:--", []string{"", "", ""}, rows)
	}
	return section
}
