package scenario

// A Mix is one stream of arrivals that several workloads share, each by its
// load.weight. It has exactly one of Rate, Stages and Sine. Each workload draws its
// share from a process of its own; of a Poisson process that is the same as
// dealing the arrivals out at random.
type Mix struct {
	// Rate is a constant arrival rate of all workloads together.
	Rate Rate `yaml:"rate,omitempty" json:"rate,omitempty"`
	// Stages are ramps and steps of that rate.
	Stages []Stage `yaml:"stages,omitempty" json:"stages,omitempty"`
	// Sine is a rate that swings about a mean.
	Sine *Sine `yaml:"sine,omitempty" json:"sine,omitempty"`
	// Arrivals is the process of workloads that name none themselves: constant
	// (default), poisson, gamma or bursty.
	Arrivals Arrivals `yaml:"arrivals,omitempty" json:"arrivals,omitempty"`
	// CV of a gamma process's gaps; required with gamma.
	CV float64 `yaml:"cv,omitempty" json:"cv,omitempty"`
	// Shape of workloads that name none themselves.
	Shape Shape `yaml:"shape,omitempty" json:"shape,omitempty"`
}

// maxWeight is the largest weight of a workload.
const maxWeight = 1_000_000

// completeMix gives each workload with a weight its share of the mix.
func (c *checker) completeMix() {
	m := c.scenario.Mix
	if m == nil {
		return
	}
	var sum float64
	for _, w := range c.scenario.Workloads {
		if w != nil {
			sum += max(0, w.Load.Weight)
		}
	}
	for name, w := range c.scenario.Workloads {
		if w == nil || !(w.Load.Weight > 0) {
			continue
		}
		at := "workloads." + name + ".load"
		w.Load.share(m, w.Load.Weight/sum)
		if !c.given(at + ".arrivals") {
			w.Load.Arrivals, w.Load.CV = m.Arrivals, m.CV
		}
		if !c.given(at + ".shape") {
			w.Load.Shape = m.Shape
		}
	}
}

// share sets the part of m's rate.
func (l *Load) share(m *Mix, part float64) {
	l.Rate = m.Rate * Rate(part)
	if m.Sine != nil {
		l.Sine = &Sine{Mean: m.Sine.Mean * Rate(part), Amplitude: m.Sine.Amplitude * Rate(part), Period: m.Sine.Period}
	}
	for _, stage := range m.Stages {
		stage.Rate *= Rate(part)
		l.Stages = append(l.Stages, stage)
	}
}

// mix checks the mix, and that it has workloads.
func (c *checker) mix() {
	weighted := 0
	for name, w := range c.scenario.Workloads {
		path := "workloads." + name + ".load.weight"
		if w == nil || !c.given(path) {
			continue
		}
		weighted++
		if c.good(path) && !(w.Load.Weight > 0 && w.Load.Weight <= maxWeight) {
			c.wrong(path, "must be above 0 and at most %d, is %v", maxWeight, w.Load.Weight)
		}
		if !c.given("mix") {
			c.wrongKey(path, "a weight is a share of the scenario's mix, and it has none")
		}
	}
	m := c.scenario.Mix
	if m == nil || c.bad["mix"] {
		return
	}
	if weighted == 0 && !c.bad["workloads"] {
		c.wrongKey("mix", "no workload has a share: give some of them load: {weight: …}")
	}
	if found := c.which("mix", "rate", "stages", "sine"); len(found) != 1 {
		c.wrongKey("mix", "want exactly one of rate, stages and sine, found %s", orNone(found))
		return
	}
	c.positive("mix.rate", m.Rate > 0)
	c.stages("mix.stages", m.Stages)
	c.sine("mix.sine", m.Sine)
	c.variation("mix", m.Arrivals, m.CV)
}

// which of the keys below at are given.
func (c *checker) which(at string, keys ...string) (found []string) {
	for _, key := range keys {
		if c.given(join(at, key)) {
			found = append(found, key)
		}
	}
	return found
}
