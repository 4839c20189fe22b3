package sink

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A Script is what an upstream that the sink plays answers, call by call: its outage
// while that lasts, else its replies in turn, else what its odds come to, else 200. Any
// number of goroutines may use one.
type Script struct {
	upstream *scenario.Upstream
	seed     uint64
	odds     []odd
}

// An odd is a reply and the upper end of its part of [0, 1).
type odd struct {
	below float64
	reply scenario.Reply
}

// NewScript returns the script of u, which was checked, and is not changed any more.
// Scripts of one run differ in seed, so that they draw apart from each other.
func NewScript(u *scenario.Upstream, seed uint64) *Script {
	s := &Script{upstream: u, seed: seed}
	below := 0.0
	for _, text := range slices.Sorted(maps.Keys(u.Odds)) {
		reply, err := scenario.ParseReply(text)
		if err != nil {
			continue // refused with the scenario
		}
		below += float64(u.Odds[text])
		s.odds = append(s.odds, odd{below, reply})
	}
	return s
}

// Answer says what a call gets. nth is its number, from 0, among those that Replies
// count: of one logical request, or of the upstream. draw is the number of the call by
// which odds, delay and stream are drawn: the same draw of the same seed comes out the
// same. elapsed is when its last byte came, from the start of the run's measured part,
// below 0 in the warm-up; an outage goes by it.
func (s *Script) Answer(nth int, draw uint64, elapsed time.Duration) Answer {
	rng := scenario.Draws(s.seed, "upstream", draw)
	reply := s.reply(nth, rng.Float64(), elapsed)
	a := Answer{
		Status: reply.Status, Reset: reply.Reset, Hang: reply.Hang,
		After: s.upstream.Delay.Draw(rng) + reply.Delay, Header: make(http.Header, 2),
	}
	if reply.RetryAfter > 0 {
		a.Header.Set("Retry-After", strconv.Itoa(int(reply.RetryAfter/time.Second)))
	}
	if a.Status != 0 {
		s.body(&a, rng)
	}
	return a
}

// reply is what becomes of a call, with chance from 0 to 1.
func (s *Script) reply(nth int, chance float64, elapsed time.Duration) scenario.Reply {
	u := s.upstream
	if o := u.Outage; o != nil && elapsed >= time.Duration(o.From) && elapsed < time.Duration(o.From+o.For) {
		if o.Reply.IsZero() {
			return scenario.Reply{Status: http.StatusServiceUnavailable}
		}
		return o.Reply
	}
	if n := len(u.Replies); n > 0 {
		return u.Replies[min(max(nth, 0), n-1)]
	}
	for _, o := range s.odds {
		if chance < o.below {
			return o.reply
		}
	}
	return scenario.Reply{Status: http.StatusOK}
}

// body gives an answer with a status what it says.
func (s *Script) body(a *Answer, rng *rand.Rand) {
	u := s.upstream
	good := a.Status/100 == 2
	switch {
	case u.Stream != nil && good && a.Status != http.StatusNoContent:
		a.Stream = newStream(u.Stream, rng)
		a.Header.Set("Content-Type", "text/event-stream; charset=utf-8")
		a.Header.Set("Cache-Control", "no-cache")
	case u.Stream != nil && a.Status >= http.StatusBadRequest:
		a.Body = dialectOf(u.Stream).failure(a.Status)
	case good && len(u.Replies) == 0 && len(u.Odds) == 0:
		a.Body = []byte("ok")
		a.Header.Set("Content-Type", "text/html")
	}
}
