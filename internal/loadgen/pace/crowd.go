package pace

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// Of a crowd: how many clients there are, how fast their rates fall with their rank
// (as 1/rank^crowdSkew), and the CV of each one's gaps. The first client sends
// two fifths of all, the first eight four fifths.
const (
	crowdClients = 32
	crowdSkew    = 1.5
	crowdCV      = 4.0
)

// A crowd is the superposition of gamma processes, one a client, with a unit rate in
// all. That heavy bursts come of few clients who send most and each in bursts is
// what ServeGen found in production traffic (arXiv 2505.09999); the numbers above
// are ours. Over long times the variance of a count is crowdCV² times its mean, of
// a Poisson process once.
type crowd struct {
	clients [crowdClients]client
	now     float64
}

type client struct {
	rate float64 // its share of the unit rate
	next float64 // its next arrival
}

func newCrowd() *crowd {
	c := new(crowd)
	var sum float64
	for i := range c.clients {
		c.clients[i].rate = math.Pow(float64(i+1), -crowdSkew)
		sum += c.clients[i].rate
	}
	for i := range c.clients {
		c.clients[i].rate /= sum
	}
	return c
}

// begin puts every client somewhere between two of its arrivals, as one who has been
// sending for ever: else all would begin with a burst at once. What is left of a gap
// that is met by chance is a uniform part of one whose shape is larger by 1.
func (c *crowd) begin(source rand.Source) {
	const shape = 1 / (crowdCV * crowdCV)
	c.now = 0
	met := distuv.Gamma{Alpha: shape + 1, Beta: shape, Src: source}
	part := distuv.Uniform{Min: 0, Max: 1, Src: source}
	for i := range c.clients {
		c.clients[i].next = part.Rand() * met.Rand() / c.clients[i].rate
	}
}

// gap is the time until the next arrival of anyone.
func (c *crowd) gap(source rand.Source) float64 {
	const shape = 1 / (crowdCV * crowdCV)
	first := &c.clients[0]
	for i := range c.clients {
		if c.clients[i].next < first.next {
			first = &c.clients[i]
		}
	}
	gap := first.next - c.now
	c.now = first.next
	first.next += distuv.Gamma{Alpha: shape, Beta: shape, Src: source}.Rand() / first.rate
	return gap
}
