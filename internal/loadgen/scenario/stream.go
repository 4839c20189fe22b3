package scenario

// A SlowRead is clients that take an answer's bytes no faster than a rate, over
// connections with small receive buffers, so that what they do not take stays with
// the target. What they see of its timing is their own doing and kept apart.
type SlowRead struct {
	// Rate at which bytes are taken.
	Rate ByteRate `yaml:"rate" json:"rate"`
	// Share of the streams that are read so; default 100%.
	Share Share `yaml:"share,omitempty" json:"share"`
}

// A Leave is clients that go away before their stream has ended: by exactly one of
// After and Chunks.
type Leave struct {
	// After is how long after the actual start they leave.
	After *TimeDist `yaml:"after,omitempty" json:"after,omitempty"`
	// Chunks is the number of content chunks that they leave with.
	Chunks *CountDist `yaml:"chunks,omitempty" json:"chunks,omitempty"`
	// Share of the streams whose client leaves; default 100%.
	Share Share `yaml:"share,omitempty" json:"share"`
}

// A Resume is clients that connect again where a stream breaks off, as browsers do:
// with the last event's id as Last-Event-ID, after the time that the stream asked for
// by retry.
type Resume struct {
	// Attempts is how often one stream is taken up again; default 3.
	Attempts int `yaml:"attempts,omitempty" json:"attempts"`
	// Wait before an attempt where the stream has asked for none; default 1s.
	Wait Duration `yaml:"wait,omitempty" json:"wait"`
}
