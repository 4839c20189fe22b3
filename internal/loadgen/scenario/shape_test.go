package scenario

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func allShapes() []Shape { return []Shape{ShapeChat, ShapeCode, ShapeRAG, ShapeBursty} }

// The quantiles of what is drawn are those of the table.
func TestLengthsFollowTheTable(t *testing.T) {
	const n = 40_000
	for _, shape := range allShapes() {
		l := NewLengths(shape, nil, "chat", 1)
		var in, out []float64
		for seq := range uint64(n) {
			i, o := l.At(seq)
			in, out = append(in, float64(i)), append(out, float64(o))
		}
		wantIn, wantOut := shape.tables()
		for _, c := range []struct {
			what  string
			drawn []float64
			want  *quantiles
		}{{"in", in, wantIn}, {"out", out, wantOut}} {
			slices.Sort(c.drawn)
			for i, p := range shapeProbabilities {
				// The share of draws at or below the table's value is the table's; a
				// half token is lost to rounding. Five standard errors.
				want := c.want[i]
				below, _ := slices.BinarySearch(c.drawn, want-.5)
				atMost, _ := slices.BinarySearch(c.drawn, want+.5)
				slack := 5*math.Sqrt(p*(1-p)/n) + 1e-9
				if lo, hi := float64(below)/n, float64(atMost)/n; lo > p+slack || hi < p-slack {
					t.Errorf("%s %s: %v tokens are the quantiles %v to %v, want %v", shape, c.what, want, lo, hi, p)
				}
			}
			if c.drawn[0] < c.want[0] || c.drawn[n-1] > c.want[len(c.want)-1] {
				t.Errorf("%s %s: drawn from %v to %v", shape, c.what, c.drawn[0], c.drawn[n-1])
			}
		}
	}
}

func TestQuantilesRise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, out := rapid.SampledFrom(allShapes()).Draw(t, "shape").tables()
		p := rapid.Float64Range(0, 1).Draw(t, "p")
		q := rapid.Float64Range(p, 1).Draw(t, "q")
		for _, table := range []*quantiles{in, out} {
			if a, b := table.at(p), table.at(q); a > b || a < table[0] || b > table[len(table)-1] {
				t.Errorf("%v at %v, %v at %v", a, p, b, q)
			}
		}
	})
}

const shaped = `
version: 1
name: shaped
target: http://127.0.0.1:8080
duration: 10s
workloads:
  chat:
    protocol: sse
    load: {rate: 5/s, shape: chat-azure23}
    request:
      path: /
      headers: {X-Sim-Tokens: 'constant:{{ .OutputTokens }}'}
      body: '{"prompt": {{ .Prompt | json }}, "max_tokens": {{ .OutputTokens }}}'
`

func TestShapeOfAScenario(t *testing.T) {
	for _, c := range []struct {
		load     string
		arrivals Arrivals
		cv       float64
	}{
		{"rate: 5/s, shape: chat-azure23", ArrivalsGamma, 1.1},
		{"rate: 5/s, shape: code-azure23", ArrivalsGamma, 6},
		{"rate: 5/s, shape: rag-long", ArrivalsPoisson, 0},
		{"rate: 5/s, shape: bursty", ArrivalsBursty, 0},
		{"rate: 5/s, shape: code-azure23, arrivals: constant", ArrivalsConstant, 0},
		{"rate: 5/s, shape: code-azure23, arrivals: gamma, cv: 2", ArrivalsGamma, 2},
		{"users: 5, shape: code-azure23", "", 0},
	} {
		s := mustParse(t, strings.Replace(shaped, "rate: 5/s, shape: chat-azure23", c.load, 1), Options{})
		if l := s.Workloads["chat"].Load; l.Arrivals != c.arrivals || l.CV != c.cv {
			t.Errorf("%s: %s, %v", c.load, l.Arrivals, l.CV)
		}
	}
	for _, c := range []struct{ load, want string }{
		{"rate: 5/s", "no tokens: the workload's load has neither a shape nor a trace"},
		{"rate: 5/s, shape: chat", `unknown value "chat"`},
		{"rate: 5/s, shape: chat-azure23, cv: 3", "goes only with arrivals: gamma"},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(shaped, "rate: 5/s, shape: chat-azure23", c.load, 1)), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.load, err, c.want)
		}
	}
}

func TestPromptIsAsLongAsItsTokens(t *testing.T) {
	l := NewLengths(ShapeCode, nil, "chat", 3)
	for seq := range uint64(50) {
		d := &Data{Workload: "chat", Seed: 3, Seq: seq, Lengths: l}
		in, err := d.InputTokens()
		if err != nil || len(d.Prompt()) != 4*in {
			t.Errorf("arrival %d: a prompt of %d characters for %d tokens, %v", seq, len(d.Prompt()), in, err)
		}
	}
}
