package scenario

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
)

// Options say how a file is read. The zero value reads it as it stands, with no
// environment.
type Options struct {
	// Env looks up ${NAME}; nil where nothing is set.
	Env func(name string) (value string, ok bool)
	// Environment, when set, is the one that goes over the file.
	Environment string
	// Target, when set, replaces the file's target.
	Target string
	// Duration, when above 0, replaces the file's duration.
	Duration Duration
	// Rate, when above 0, replaces the constant rate of every open workload; an
	// open workload with no constant rate is then a problem.
	Rate Rate
	// Local, when set, says whether an address is one of this machine, for the
	// sources of connections.
	Local func(netip.Addr) bool
	// Metrics are those a threshold may use, by protocol. With nil they are not
	// checked.
	Metrics map[Protocol][]Metric
}

// A Metric is what a threshold can be held against, whatever records it.
type Metric struct {
	Name string
	Kind string // "histogram", "counter", "ratio" or "scalar"
	Unit string // "ns", "B" or "1"
}

// maxSource is the largest scenario file, 1 MiB.
const maxSource = 1 << 20

// ReadFile reads, completes and checks the scenario file at path. What is wrong
// with its content comes back as Problems.
func ReadFile(path string, o Options) (*Scenario, error) {
	src, err := readSource(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, src, o)
}

func readSource(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	src, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return src, nil
}

// Parse reads, completes and checks a scenario. Name is the file's path: it
// stands in messages, and feed files are looked for beside it. The error is
// Problems: all of them, sorted by place.
func Parse(name string, src []byte, o Options) (*Scenario, error) {
	s, problems := read(name, src, o)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return s, nil
}

// read is Parse with whatever could be read beside the problems: nil where the
// source is no YAML.
func read(name string, src []byte, o Options) (*Scenario, Problems) {
	doc, problems := readYAML(name, src)
	if len(problems) > 0 {
		return nil, problems
	}
	s := &Scenario{Dir: filepath.Dir(name)}
	d := newDecoder(doc, o)
	d.root(s, o.Environment)
	c := checker{decoder: d, scenario: s, options: o, traces: make(map[string]*TraceRows)}
	c.override()
	c.complete()
	c.check()
	c.secrets()
	c.scrubProblems()
	return s, d.problems
}
