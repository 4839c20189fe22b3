package pace

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Bounds of a gamma process's CV. Beyond them the gaps differ by less or more
// than a float64 can tell.
const (
	minCV = 1e-3
	maxCV = 100
)

// A process draws the gaps of a point process of unit rate. The zero value is
// the constant process, which draws none.
type process struct {
	seed   uint64
	source *rand.PCG // nil for the constant process
	gamma  distuv.Gamma
	exp    *rand.Rand // nil for gamma and bursty
	crowd  *crowd     // bursty
}

func newProcess(load scenario.Load, seed uint64) (process, error) {
	p := process{seed: seed}
	switch load.Arrivals {
	case "", scenario.ArrivalsConstant:
	case scenario.ArrivalsPoisson:
		p.source = new(rand.PCG)
		p.exp = rand.New(p.source)
	case scenario.ArrivalsGamma:
		if !(load.CV >= minCV && load.CV <= maxCV) {
			return p, fmt.Errorf("gamma arrivals with cv %v: expected %v to %v", load.CV, minCV, maxCV)
		}
		p.source = new(rand.PCG)
		shape := 1 / (load.CV * load.CV)
		p.gamma = distuv.Gamma{Alpha: shape, Beta: shape, Src: p.source}
	case scenario.ArrivalsBursty:
		p.source = new(rand.PCG)
		p.crowd = newCrowd()
	default:
		return p, fmt.Errorf("arrivals %q: expected %s, %s, %s or %s", load.Arrivals,
			scenario.ArrivalsConstant, scenario.ArrivalsPoisson, scenario.ArrivalsGamma, scenario.ArrivalsBursty)
	}
	return p, nil
}

func (p *process) random() bool { return p.source != nil }

// gap draws the next gap; only a random process has one.
func (p *process) gap() float64 {
	switch {
	case p.exp != nil:
		return p.exp.ExpFloat64()
	case p.crowd != nil:
		return p.crowd.gap(p.source)
	}
	return p.gamma.Rand()
}

// rewind makes the gaps begin anew.
func (p *process) rewind() {
	if p.source != nil {
		p.source.Seed(mix(p.seed), mix(^p.seed))
	}
	if p.crowd != nil {
		p.crowd.begin(p.source)
	}
}

// mix spreads a seed over all bits (the finaliser of SplitMix64), because PCG
// begun from neighbouring seeds gives neighbouring streams.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// clone returns a process that draws the same gaps from their beginning,
// independently of p.
func (p *process) clone() process {
	c := *p
	if p.source != nil {
		c.source = new(rand.PCG)
		c.gamma.Src = c.source
		if p.exp != nil {
			c.exp = rand.New(c.source)
		}
		if p.crowd != nil {
			c.crowd = newCrowd()
		}
	}
	c.rewind()
	return c
}
