package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A view is a result in words, in the order in which it is read. Its strings
// hold no control characters.
type view struct {
	Name, ID, Description, Target string
	Started, Elapsed, Measured    string
	Interrupted                   bool
	Uneven                        []uneven
	State                         result.State
	StateWords                    string
	Reasons                       []result.Reason
	Thresholds                    []threshold
	ThresholdWords                string
	Workloads                     []workload
	Sink                          *sink
	Resources                     *resources // nil where loadgen has not started the server
	Health                        []healthRow
	Warnings                      []string
	Source                        []pair // machine and build
	Scenario                      string // resolved, YAML
	Reproduce                     []string
}

// An uneven is a balance that does not add up.
type uneven struct{ Workload, Name, Left, Right, Apart string }

// A threshold as it is shown.
type threshold struct {
	Pass                                 bool
	Outcome, Metric, Condition, Observed string
	Samples                              string
}

// Mark is ✓ or ✗.
func (t threshold) Mark() string {
	if t.Pass {
		return "✓"
	}
	return "✗"
}

// A pair is a name and what it stands for.
type pair struct{ Name, Text string }

func newView(r *result.Result) (*view, error) {
	if r.Scenario == nil {
		return nil, fmt.Errorf("result %s holds no scenario", r.ID)
	}
	sc := r.Scenario.Redacted()
	resolved, err := yaml.Marshal(sc)
	if err != nil {
		return nil, fmt.Errorf("write scenario %s: %w", sc.Name, err)
	}
	target := sc.Target
	v := &view{
		Name: clean(r.Scenario.Name), ID: clean(r.ID), Description: clean(r.Scenario.Description), Target: clean(target),
		Started:     r.Started.UTC().Format("2006-01-02 15:04:05 UTC"),
		Elapsed:     result.Nanoseconds.Format(float64(r.ElapsedNS)),
		Measured:    result.Nanoseconds.Format(float64(measured(r))),
		Interrupted: r.Interrupted,
		State:       r.Validity.State,
		StateWords:  stateWords(r.Validity.State),
		Sink:        newSink(r.Sink),
		Resources:   newResources(r.Resources),
		Health:      health(r),
		Source:      source(r),
		Scenario:    string(resolved),
		Reproduce: []string{
			fmt.Sprintf("loadgen run %s.yaml --target %s", clean(r.Scenario.Name), clean(target)),
			fmt.Sprintf("loadgen report reports/%s/result.json --format html", clean(r.ID)),
		},
	}
	for _, reason := range r.Validity.Reasons {
		v.Reasons = append(v.Reasons, result.Reason{
			State: reason.State, Check: clean(reason.Check), Detail: clean(reason.Detail), Remedy: clean(reason.Remedy),
		})
	}
	held := 0
	for _, t := range r.Thresholds {
		v.Thresholds = append(v.Thresholds, newThreshold(t))
		if t.Outcome == result.Pass {
			held++
		}
	}
	v.ThresholdWords = fmt.Sprintf("%d of %d hold", held, len(r.Thresholds))
	for _, w := range r.Warnings {
		v.Warnings = append(v.Warnings, clean(w))
	}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		v.Uneven = append(v.Uneven, unevenSums(w.Name, w.Balances)...)
		v.Workloads = append(v.Workloads, newWorkload(r, w))
	}
	if r.Sink != nil {
		v.Uneven = append(v.Uneven, unevenSums("sink", r.Sink.Balances)...)
	}
	return v, nil
}

func stateWords(s result.State) string {
	switch s {
	case result.Valid:
		return "the instrument vouches for these numbers"
	case result.Degraded:
		return "usable with these reasons in mind"
	default:
		return "the instrument cannot vouch for these numbers"
	}
}

func newThreshold(t result.Threshold) threshold {
	shown := threshold{
		Pass: t.Outcome == result.Pass, Outcome: string(t.Outcome),
		Metric: clean(t.Metric), Condition: clean(t.Condition),
		Observed: t.Unit.Format(t.Observed), Samples: whole(t.Samples),
	}
	if t.Outcome == result.NoData {
		shown.Observed = "no data"
	}
	return shown
}

// measured is the length of the measured part as far as the run got.
func measured(r *result.Result) time.Duration {
	warmup := time.Duration(r.Scenario.Warmup)
	length := time.Duration(r.Scenario.Duration)
	if length <= 0 {
		length = r.ElapsedNS - warmup
	}
	if r.Interrupted {
		length = min(length, r.ElapsedNS-warmup)
	}
	return max(0, length)
}

func source(r *result.Result) []pair {
	build := r.Build.Version
	if r.Build.Revision != "" {
		build += " (" + r.Build.Revision
		if r.Build.Dirty {
			build += ", with local changes"
		}
		build += ")"
	}
	pairs := []pair{
		{"loadgen", strings.TrimSpace(build + " " + r.Build.Go)},
		{"system", strings.Join(strings.Fields(r.Machine.OS+"/"+r.Machine.Arch+" "+r.Machine.Kernel), " ")},
		{"processor", fmt.Sprintf("%s, %d cores", r.Machine.CPU, r.Machine.Cores)},
		{"memory", result.Bytes.Format(float64(r.Machine.MemoryBytes))},
		{"fingerprint", r.Machine.Fingerprint},
		{"seed", fmt.Sprint(r.Scenario.Seed)},
	}
	shown := pairs[:0]
	for _, p := range pairs {
		if p.Text = clean(strings.Trim(p.Text, ", ")); p.Text != "" && p.Text != "/" && p.Text != "0 B" {
			shown = append(shown, p)
		}
	}
	return shown
}

// clean replaces control characters, which a server's answer may hold and which
// a terminal would obey, and puts the text on one line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	return strings.Join(strings.Fields(s), " ")
}

// whole writes a count.
func whole(n int64) string { return result.One.Format(float64(n)) }
