package retry

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func parse(t testing.TB, text string) Policy {
	t.Helper()
	var p Policy
	if err := p.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicyReads(t *testing.T) {
	for text, want := range map[string]Policy{
		"none":                      {Kind: None, Attempts: 1},
		"guide":                     {Kind: Guide, Attempts: 3},
		"guide:attempts=5":          {Kind: Guide, Attempts: 5},
		"guide:attempt_timeout=10s": {Kind: Guide, Attempts: 3, AttemptTimeout: 10 * time.Second},
		"none:attempt_timeout=10s":  {Kind: None, Attempts: 1, AttemptTimeout: 10 * time.Second},
		" full ":                    {Kind: Full, Attempts: 3, Base: time.Second, Cap: 20 * time.Second, RetryAfter: true},
		"equal:base=50ms, cap=1s, attempts=20, retry_after=false": {Kind: Equal, Attempts: 20, Base: 50 * time.Millisecond, Cap: time.Second},
		"decorrelated:attempt_timeout=2s,budget=grpc,seed=9": {Kind: Decorrelated, Attempts: 3, Base: time.Second, Cap: 20 * time.Second,
			RetryAfter: true, AttemptTimeout: 2 * time.Second, Budget: GRPC, Seed: 9},
	} {
		if got := parse(t, text); got != want {
			t.Errorf("%q reads as %+v, want %+v", text, got, want)
		}
	}
}

// TestPolicyErrors: each names all that is wrong.
func TestPolicyErrors(t *testing.T) {
	for text, wants := range map[string][]string{
		"":                                   {"no kind"},
		"linear":                             {`unknown kind "linear"`},
		"full:":                              {"want KEY=VALUE"},
		"full:base":                          {`"base": want KEY=VALUE`},
		"full:base=0s":                       {"base 0s"},
		"full:base=2s,cap=1s":                {"cap 1s"},
		"full:base=2s,base=1s":               {"base is given twice"},
		"full:base=x,speed=1,attempts=21":    {`base "x"`, `unknown key "speed"`, "attempts 21"},
		"full:cap=2h":                        {"cap 2h0m0s"},
		"full:attempts=0":                    {"attempts 0"},
		"full:attempts=-1":                   {"attempts -1"},
		"equal:budget=big":                   {`budget "big"`},
		"equal:attempt_timeout=-1s":          {"attempt_timeout -1s"},
		"none:attempts=2":                    {"policy none has one"},
		"guide:attempt_timeout=2h":           {"attempt_timeout 2h0m0s"},
		"guide:base=1s":                      {"policy guide has no base"},
		"guide:budget=grpc":                  {"policy guide has no base"},
		"guide:retry_after=true":             {"policy guide has no base"},
		"decorrelated:retry_after=sometimes": {`retry_after "sometimes"`},
	} {
		p := Policy{Kind: Full}
		err := p.UnmarshalText([]byte(text))
		if err == nil {
			t.Errorf("%q reads as %+v", text, p)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q in it", text, err, want)
			}
		}
		if p != (Policy{Kind: Full}) {
			t.Errorf("%q changed the policy to %+v", text, p)
		}
	}
}

func TestPolicyTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawPolicy(t)
		var got Policy
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%+v is written %q and reads as %+v, %v", want, want, got, err)
		}
	})
	if got := (Policy{}).String(); got != "none" {
		t.Errorf("the zero policy is written %q", got)
	}
}

func FuzzPolicy(f *testing.F) {
	for _, text := range []string{"none", "guide:attempts=5", "full:base=100ms,cap=2s,retry_after=false", "decorrelated:attempt_timeout=2s,budget=grpc,seed=9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p, again Policy
		if p.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%q reads as what is not valid: %v", text, err)
		}
		if p.Budget == NoBudget { // the one value with two ways to write it
			p.Budget = ""
		}
		if err := again.UnmarshalText([]byte(p.String())); err != nil || again != p {
			t.Fatalf("%q reads as %+v, is written %q and reads as %+v, %v", text, p, p, again, err)
		}
	})
}
