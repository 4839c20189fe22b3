package scenario

import (
	"math"
	"strings"
	"testing"
)

func TestParseThreshold(t *testing.T) {
	for text, want := range map[string]Threshold{
		"p(95) < 800ms":      {Aggregate: AggregateQuantile, Quantile: 0.95, Op: Less, Bound: 8e8, BoundUnit: BoundTime},
		"p(99.9) <= 2s":      {Aggregate: AggregateQuantile, Quantile: 0.999, Op: LessEqual, Bound: 2e9, BoundUnit: BoundTime},
		"p( 50 )<1m30s":      {Aggregate: AggregateQuantile, Quantile: 0.5, Op: Less, Bound: 9e10, BoundUnit: BoundTime},
		"med < 5ms":          {Aggregate: AggregateQuantile, Quantile: 0.5, Op: Less, Bound: 5e6, BoundUnit: BoundTime},
		"avg < 5ms":          {Aggregate: AggregateMean, Op: Less, Bound: 5e6, BoundUnit: BoundTime},
		"mean < 4KiB":        {Aggregate: AggregateMean, Op: Less, Bound: 4096, BoundUnit: BoundSize},
		"min > 0":            {Aggregate: AggregateMin, Op: Greater, BoundUnit: BoundNumber},
		"max != 3":           {Aggregate: AggregateMax, Op: NotEqual, Bound: 3, BoundUnit: BoundNumber},
		"count > 100":        {Aggregate: AggregateCount, Op: Greater, Bound: 100, BoundUnit: BoundNumber},
		"rate < 1%":          {Aggregate: AggregateRate, Op: Less, Bound: 0.01, BoundUnit: BoundPercent},
		"rate < 0.01":        {Aggregate: AggregateRate, Op: Less, Bound: 0.01, BoundUnit: BoundNumber},
		"rate >= 600/m":      {Aggregate: AggregateRate, Op: GreaterEqual, Bound: 10, BoundUnit: BoundRate},
		"value == 1":         {Aggregate: AggregateValue, Op: Equal, Bound: 1, BoundUnit: BoundNumber},
		"  value >= 99.9%  ": {Aggregate: AggregateValue, Op: GreaterEqual, Bound: 0.999, BoundUnit: BoundPercent},
	} {
		want.Text = strings.TrimSpace(text)
		got, err := ParseThreshold(text)
		if err != nil || got != want {
			t.Errorf("ParseThreshold(%q) = %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if back, err := ParseThreshold(got.String()); err != nil || back != got {
			t.Errorf("%q reads back as %+v, %v", got, back, err)
		}
	}
	for text, parts := range map[string][]string{
		"":                 {"p(95) < 800ms"},
		"< 5":              {"p(95) < 800ms"},
		"p95 < 1s":         {`"p95"`, "did you mean p(95)"},
		"p(101) < 1s":      {`"p(101)"`, "at most 100"},
		"p(0) < 1s":        {`"p(0)"`},
		"p(x) < 1s":        {`"p(x)"`},
		"p() < 1s":         {`"p()"`},
		"p(95 < 1s":        {`unknown aggregate "p"`},
		"median < 1s":      {`unknown aggregate "median"`, "med"},
		"p(95) 800ms":      {`found "800ms"`, "<="},
		"p(95) =< 1s":      {`found "=< 1s"`},
		"p(95) <":          {"nothing to compare with"},
		"p(95) < fast":     {`"fast" is no bound`, "800ms"},
		"p(95) < 800":      nil, // for a histogram that is not of times
		"p(95) < -1s":      {`"-1s" is no bound`},
		"p(95) < 1s extra": {`"1s extra"`},
		"p(95) < 1%":       {"p cannot be compared with a share (1%)"},
		"rate < 5ms":       {"rate cannot be compared with a time (800ms)"},
		"value == 5/s":     {"value cannot be compared with a rate"},
		"count > 5%":       {"count cannot be compared"},
		"p(95) < 1e3":      {`"1e3" is no bound`},
		"value == 1 == 2":  {`"1 == 2" is no bound`},
	} {
		got, err := ParseThreshold(text)
		if len(parts) == 0 {
			if err != nil {
				t.Errorf("ParseThreshold(%q): %v", text, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("ParseThreshold(%q) = %+v, want an error", text, got)
			continue
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("ParseThreshold(%q): %v; want it to say %q", text, err, part)
			}
		}
	}
}

func TestThresholdFits(t *testing.T) {
	for _, tc := range []struct {
		text, kind, unit string
		wrong            string // part of the error; empty where it fits
	}{
		{"p(95) < 800ms", "histogram", "ns", ""},
		{"p(95) < 0", "histogram", "ns", ""},
		{"p(95) < 800", "histogram", "ns", "want a time (800ms)"},
		{"p(95) < 800", "histogram", "1", ""},
		{"max < 4KiB", "histogram", "B", ""},
		{"count > 100", "histogram", "ns", ""},
		{"count > 1s", "histogram", "ns", "want a plain number"},
		{"rate > 5/s", "histogram", "ns", "a histogram has no rate"},
		{"value == 1", "histogram", "ns", "a histogram has no value"},
		{"count == 0", "counter", "1", ""},
		{"value < 1MB", "counter", "B", ""},
		{"value < 5s", "counter", "ns", ""},
		{"value < 5s", "counter", "1", "want a plain number"},
		{"rate > 50/s", "counter", "1", ""},
		{"rate > 50", "counter", "1", ""},
		{"rate < 1%", "counter", "1", "cannot be compared with a share"},
		{"p(95) < 5", "counter", "1", "a counter has no p"},
		{"value == 1", "ratio", "1", ""},
		{"rate < 1%", "ratio", "1", ""},
		{"rate < 50/s", "ratio", "1", "cannot be compared with a rate"},
		{"max < 1s", "ratio", "1", "a ratio has no max"},
		{"value == 1", "gauge", "1", "unknown kind"},
	} {
		th, err := ParseThreshold(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		switch err := th.Fits(tc.kind, tc.unit); {
		case tc.wrong == "" && err != nil:
			t.Errorf("%q on a %s in %s: %v", tc.text, tc.kind, tc.unit, err)
		case tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)):
			t.Errorf("%q on a %s in %s: %v; want %q", tc.text, tc.kind, tc.unit, err, tc.wrong)
		}
	}
}

func TestThresholdHolds(t *testing.T) {
	for text, wants := range map[string][3]bool{ // at 99, 100 and 101
		"value < 100":  {true, false, false},
		"value <= 100": {true, true, false},
		"value > 100":  {false, false, true},
		"value >= 100": {false, true, true},
		"value == 100": {false, true, false},
		"value != 100": {true, false, true},
	} {
		th, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range wants {
			if got := th.Holds(float64(99 + i)); got != want {
				t.Errorf("%q holds of %d: %v", text, 99+i, got)
			}
		}
		if th.Holds(math.NaN()) {
			t.Errorf("%q holds of NaN", text)
		}
	}
	if (Threshold{}).Holds(0) {
		t.Error("the zero threshold holds")
	}
}

func FuzzThreshold(f *testing.F) {
	for _, text := range []string{"p(95) < 800ms", "p(99.9) <= 2s", "rate < 1%", "rate > 50/s", "value == 1", "count > 100", "mean != 4KiB", "p(", "<", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		th, err := ParseThreshold(text)
		if err != nil {
			if th != (Threshold{}) || err.Error() == "" {
				t.Errorf("%q: %+v beside the error %v", text, th, err)
			}
			return
		}
		if back, err := ParseThreshold(th.Text); err != nil || back != th {
			t.Errorf("%q: %+v, then %+v, %v", text, th, back, err)
		}
		if math.IsNaN(th.Bound) || math.IsInf(th.Bound, 0) || th.Quantile < 0 || th.Quantile > 1 {
			t.Errorf("%q: %+v", text, th)
		}
	})
}
