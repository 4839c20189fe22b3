package peers_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// figures are what one run came to, by column.
type figures map[string]float64

// A column of a table. Rounds' values are shown as median (least–most).
type column struct {
	Key, Title string
}

// A table is one part's outcome.
type table struct {
	Title   string
	Text    string // what was done and how to read it
	Columns []column
	Rows    []*row
}

// A row is one client's outcome over the rounds.
type row struct {
	Name   string
	Why    string // not empty: why it has no figures
	Rounds []figures
	Faults []string // rounds that came to nothing
}

// relative adds to each round of each row the quotient of key and the same
// round's value of the row called base, under the key to.
func (t *table) relative(key, base, to string) {
	i := slices.IndexFunc(t.Rows, func(r *row) bool { return r.Name == base })
	if i < 0 {
		return
	}
	for _, r := range t.Rows {
		for n, f := range r.Rounds {
			if f == nil || n >= len(t.Rows[i].Rounds) || t.Rows[i].Rounds[n] == nil {
				continue
			}
			if v, ok := f[key]; ok {
				f[to] = v / t.Rows[i].Rounds[n][key]
			}
		}
	}
}

// markdown writes the table.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n| client |", t.Title, t.Text)
	for _, c := range t.Columns {
		fmt.Fprintf(&b, " %s |", c.Title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(t.Columns)) + "\n")
	var notes []string
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "| %s |", r.Name)
		for i, c := range t.Columns {
			switch {
			case r.Why == "":
				fmt.Fprintf(&b, " %s |", spread(r.values(c.Key)))
			case i == 0:
				fmt.Fprintf(&b, " not run: %s |", strings.ReplaceAll(r.Why, "|", "/"))
			default:
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
		for _, f := range r.Faults {
			notes = append(notes, r.Name+": "+f)
		}
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "\n- %s", strings.ReplaceAll(strings.TrimSpace(n), "\n", " "))
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// values are one column's figures, of the rounds that have it.
func (r *row) values(key string) []float64 {
	var vs []float64
	for _, f := range r.Rounds {
		if v, ok := f[key]; ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// spread is the median of vs with the least and the most beside it.
func spread(vs []float64) string {
	if len(vs) == 0 {
		return "–"
	}
	vs = slices.Sorted(slices.Values(vs))
	mid := vs[len(vs)/2]
	if len(vs)%2 == 0 {
		mid = (vs[len(vs)/2-1] + mid) / 2
	}
	m, lo, hi := digits(mid), digits(vs[0]), digits(vs[len(vs)-1])
	if lo == m && hi == m {
		return m
	}
	return fmt.Sprintf("%s (%s–%s)", m, lo, hi)
}

// digits writes v with three significant digits, whole numbers in full.
func digits(v float64) string {
	if v >= 100 || v <= -100 || v == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	places := 2
	for x := max(v, -v); x < 1 && places < 4; x *= 10 {
		places++
	}
	if v >= 10 || v <= -10 {
		places = 1
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		vs   []float64
		want string
	}{
		{nil, "–"},
		{[]float64{3, 1, 2}, "2.00 (1.00–3.00)"},
		{[]float64{1, 2, 3, 40}, "2.50 (1.00–40.0)"},
		{[]float64{12345.6, 12345.6}, "12346"},
		{[]float64{.0123}, "0.0123"},
		{[]float64{0}, "0"},
	} {
		if got := spread(tc.vs); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.vs, got, tc.want)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{
		Title: "T", Text: "text", Columns: []column{{"a", "A"}, {"ratio", "R"}},
		Rows: []*row{
			{Name: "x", Rounds: []figures{{"a": 4}, nil, {"a": 6}}, Faults: []string{"round 2: broke\noff"}},
			{Name: "floor", Rounds: []figures{{"a": 2}, {"a": 1}, {"a": 2}}},
			{Name: "gone", Why: "no net"},
		},
	}
	tab.relative("a", "floor", "ratio")
	want := `## T

text

| client | A | R |
|---|---|---|
| x | 5.00 (4.00–6.00) | 2.50 (2.00–3.00) |
| floor | 2.00 (1.00–2.00) | 1.00 |
| gone | not run: no net | |

- x: round 2: broke off
`
	if got := tab.markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
