package llm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestParseFaults(t *testing.T) {
	for text, want := range map[string][]Fault{
		"":                             nil,
		"none":                         nil,
		"status:429,retry-after:2s":    {{Kind: FaultStatus, Status: 429, RetryAfter: 2 * time.Second, Probability: 1}},
		"status:529~0.1#5":             {{Kind: FaultStatus, Status: 529, Probability: 0.1, First: 5}},
		"error-event@10":               {{Kind: FaultErrorEvent, After: 10, Probability: 1}},
		"error-event@10,api_error":     {{Kind: FaultErrorEvent, After: 10, Type: "api_error", Probability: 1}},
		"cut@0":                        {{Kind: FaultCut, Probability: 1}},
		"stall@10,30s":                 {{Kind: FaultStall, After: 10, For: 30 * time.Second, Probability: 1}},
		"reasoning:20;role-only;split": {{Kind: FaultReasoning, Tokens: 20, Probability: 1}, {Kind: FaultRoleOnly, Probability: 1}, {Kind: FaultSplit, Probability: 1}},
		"role-only:off; ping:5s":       {{Kind: FaultRoleOnly, Off: true, Probability: 1}, {Kind: FaultPing, For: 5 * time.Second, Probability: 1}},
		"truncate@3;malformed@1;seed:7;empty@2~1e-3": {
			{Kind: FaultTruncate, After: 3, Probability: 1}, {Kind: FaultMalformed, After: 1, Probability: 1}, {Kind: FaultEmpty, After: 2, Probability: 0.001},
		},
	} {
		got, err := ParseFaults(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got.list, cmpopts.EquateEmpty()); diff != "" || got.seeded != strings.Contains(text, "seed") {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseFaultsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"crash":                     "unknown kind",
		";":                         "unknown kind",
		"status":                    "400 to 599",
		"status:200":                "400 to 599",
		"status:429,retry-after:0s": "above 0",
		"status:429,later":          "unexpected",
		"status@3":                  "takes no @",
		"cut":                       "want cut@N",
		"cut:3":                     "want cut@N",
		"cut@-1":                    "number of tokens",
		"cut@1,2s":                  "unexpected",
		"stall@1":                   "stall@N,D",
		"stall@1,2h":                "duration",
		"reasoning:0":               "tokens from 1",
		"ping:1µs":                  "1ms or more",
		"role-only:on":              "role-only:off",
		"split:2":                   "takes no value",
		"error-event@1,Overloaded!": "unexpected",
		"cut@1~0":                   "probability",
		"cut@1~NaN":                 "probability",
		"cut@1~1.5":                 "probability",
		"cut@1#0":                   "answers from 1",
		"seed:x":                    "seed",
		"seed:1;seed:2":             "one seed",
		strings.Repeat("split;", maxFaults) + "split": "at most",
	} {
		if got, err := ParseFaults(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

// anyFault draws a fault that there can be.
func anyFault(t *rapid.T) Fault {
	f := Fault{Kind: rapid.SampledFrom(faultKinds).Draw(t, "kind"), Probability: rapid.Float64Range(1e-9, 1).Draw(t, "probability")}
	f.First = rapid.IntRange(0, 3).Draw(t, "first")
	if f.Kind.strikes() {
		f.After = rapid.IntRange(0, MaxCount).Draw(t, "after")
	}
	span := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(MaxDuration)).Draw(t, "span"))
	switch f.Kind {
	case FaultStatus:
		f.Status = rapid.IntRange(400, 599).Draw(t, "status")
		f.RetryAfter = span
	case FaultReasoning:
		f.Tokens = rapid.IntRange(1, MaxCount).Draw(t, "tokens")
	case FaultRoleOnly:
		f.Off = rapid.Bool().Draw(t, "off")
	case FaultStall, FaultPing:
		f.For = span
	case FaultErrorEvent:
		f.Type = rapid.StringMatching(`[a-z_]{0,20}`).Draw(t, "type")
	}
	return f
}

// What is written is read as it was.
func TestFaultsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Faults{list: rapid.SliceOfN(rapid.Custom(anyFault), 1, 5).Draw(t, "faults")}
		if want.seeded = rapid.Bool().Draw(t, "seeded"); want.seeded {
			want.seed = rapid.Uint64().Draw(t, "seed")
		}
		got, err := ParseFaults(want.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Faults{})); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", want, diff)
		}
	})
}

func FuzzParseFaults(f *testing.F) {
	for _, text := range []string{"none", "status:429,retry-after:2s~0.5#3", "error-event@10,api_error;cut@3", "stall@1,2s;seed:9", "role-only:off;ping:5s;split;reasoning:3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		faults, err := ParseFaults(text)
		if err != nil {
			return
		}
		again, err := ParseFaults(faults.String())
		if err != nil || again.String() != faults.String() || !slices.Equal(again.list, faults.list) {
			t.Fatalf("%q is written %q, which reads as %q, %v", text, faults, again, err)
		}
	})
}

// A probability is met, and a seed fixes who has the fault.
func TestProbabilities(t *testing.T) {
	hits := func(text string) (out []int) {
		faults, err := ParseFaults(text)
		if err != nil {
			t.Fatal(err)
		}
		s := newFaultSwitch(faults)
		for i := range 4000 {
			if len(s.plan(1).strikes) > 0 {
				out = append(out, i)
			}
		}
		return out
	}
	first := hits("cut@1~0.1;seed:7")
	if n := len(first); n < 320 || n > 480 {
		t.Errorf("%d of 4000 answers had a fault of probability 0.1", n)
	}
	if !slices.Equal(first, hits("cut@1~0.1;seed:7")) {
		t.Error("the same seed gave the fault to others")
	}
	if slices.Equal(first, hits("cut@1~0.1;seed:8")) || slices.Equal(first, hits("cut@1~0.1")) {
		t.Error("another seed gave the fault to the same")
	}
	if got := hits("cut@1~0.5#3"); len(got) != 3 {
		t.Errorf("%d answers had a fault for the first 3", len(got))
	}
}
