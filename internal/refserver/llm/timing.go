package llm

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// Timing is the stated answer of the simulator: when each token is due and how
// many there are. A zero field takes its default.
type Timing struct {
	FirstToken Durations // from the request's start to the first chunk; default constant:300ms
	Gap        Durations // between two chunks; default constant:20ms
	Tokens     Counts    // tokens of a response, before max_tokens; default constant:128
	PerChunk   Counts    // tokens of a chunk, the last one may be shorter; default constant:1
	Seed       uint64    // of the draws: request number n draws from PCG(Seed, n)
}

// OrDefault fills in the fields that were left zero.
func (t Timing) OrDefault() Timing {
	if t.FirstToken.IsZero() {
		t.FirstToken = ConstantDuration(300 * time.Millisecond)
	}
	if t.Gap.IsZero() {
		t.Gap = ConstantDuration(20 * time.Millisecond)
	}
	if t.Tokens.IsZero() {
		t.Tokens = ConstantCount(128)
	}
	if t.PerChunk.IsZero() {
		t.PerChunk = ConstantCount(1)
	}
	return t
}

// forRequest returns the timing of one request, which is t, or a copy overridden
// by the request's headers, and the number that stands for it beside the seed in
// every draw. The error names the header at fault.
func (t *Timing) forRequest(h http.Header, number uint64) (*Timing, uint64, error) {
	own := *t
	overridden := false
	var err error
	override := func(name string, parse func(text []byte) error) {
		if text := h.Get(name); text != "" && err == nil {
			overridden = true
			if perr := parse([]byte(text)); perr != nil {
				err = fmt.Errorf("header %s: %w", name, perr)
			}
		}
	}
	override(wire.HeaderSimTTFT, own.FirstToken.UnmarshalText)
	override(wire.HeaderSimGap, own.Gap.UnmarshalText)
	override(wire.HeaderSimTokens, own.Tokens.UnmarshalText)
	override(wire.HeaderSimPerChunk, own.PerChunk.UnmarshalText)
	override(wire.HeaderSimSeed, func(text []byte) error {
		seed, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			return fmt.Errorf("seed %q: want an unsigned integer below 2^64", text)
		}
		own.Seed, number = seed, 0
		return nil
	})
	if !overridden {
		return t, number, nil
	}
	return &own, number, err
}

// schedule yields the chunks of one response in order. The draws come from one
// source in a fixed order (tokens; then for each chunk its delay and its
// size), so a seed fixes the whole response.
type schedule struct {
	timing *Timing // shared by all answers that do not ask for their own
	rng    *rand.Rand
	left   int  // tokens not yet scheduled
	capped bool // max_tokens cut the response short
	due    time.Duration
	begun  bool
}

// schedule draws how many tokens follow so many of reasoning.
func (t *Timing) schedule(rng *rand.Rand, reasoning, maxTokens int) schedule {
	tokens := reasoning + t.Tokens.Sample(rng)
	return schedule{timing: t, rng: rng, left: min(tokens, maxTokens), capped: tokens > maxTokens}
}

// next returns the size of the next chunk in tokens, no more than most where that
// is above 0, and the instant it is due as an offset from the request's start;
// false when the response is complete.
func (s *schedule) next(most int) (tokens int, due time.Duration, ok bool) {
	if s.left == 0 {
		return 0, 0, false
	}
	if s.begun {
		s.due += s.timing.Gap.Sample(s.rng)
	} else {
		s.due, s.begun = s.timing.FirstToken.Sample(s.rng), true
	}
	tokens = min(s.timing.PerChunk.Sample(s.rng), s.left)
	if most > 0 {
		tokens = min(tokens, most)
	}
	s.left -= tokens
	return tokens, s.due, true
}
