package scenario

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
)

// mix spreads the bits of x over the whole word (the finaliser of SplitMix64),
// so that neighbouring sequence numbers give unrelated draws.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashOf makes a number of some names.
func hashOf(names ...string) uint64 {
	h := fnv.New64a()
	for _, name := range names {
		_, _ = h.Write([]byte(name)) // a hash takes any bytes
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// draws returns the random source of one purpose of one arrival: the same for
// the same arguments, unrelated for others.
func draws(seed, purpose, seq uint64) *rand.PCG {
	return rand.NewPCG(mix(seed^purpose), mix(mix(seq)^purpose))
}

// Draws returns the random source of the n-th use of one purpose: the same for the same
// arguments, unrelated for others.
func Draws(seed uint64, purpose string, n uint64) *rand.Rand {
	return rand.New(draws(seed, hashOf(purpose), n))
}

// words is what random text is made of.
var words = strings.Fields(`
a the and of to in for with on from by about between into over under after before while
system server client request answer stream token message room channel event queue worker function database
index cache network latency budget limit error retry schedule report summary table chart figure method result
model language sentence paragraph story letter recipe garden river mountain city street window morning winter
summer journey teacher student doctor engineer painter musician farmer captain neighbour question reason habit
simple quick careful quiet modern ancient small large bright patient honest useful common strange
describe compare measure improve build repair explain gather deliver follow remember prepare choose translate`)

// openings begin a built-in prompt.
var openings = []string{
	"Explain step by step", "Summarise in plain words", "Write a short story about", "Compare the advantages of",
	"List the main reasons for", "Translate into French", "Draft a friendly letter about", "Describe to a beginner",
	"Give three examples of", "Plan a week around", "What would happen to", "How does one best improve",
}

// drawText is n characters of words.
func drawText(rng *rand.Rand, n int) string {
	var b strings.Builder
	b.Grow(n + 16)
	for b.Len() < n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[rng.IntN(len(words))])
	}
	return b.String()[:n]
}

// drawPrompt is a question of 10 to 60 words.
func drawPrompt(rng *rand.Rand) string {
	opening := openings[rng.IntN(len(openings))]
	n := 10 + rng.IntN(51) - len(strings.Fields(opening))
	var b strings.Builder
	b.WriteString(opening)
	for range n {
		b.WriteByte(' ')
		b.WriteString(words[rng.IntN(len(words))])
	}
	return b.String() + "?"
}
