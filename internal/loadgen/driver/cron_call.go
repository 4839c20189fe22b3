package driver

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fastjson"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// Serve takes a call. It belongs to this workload unless its path has the mark of
// another; a path without a mark is that of a job which nobody registered for the run.
func (d *cronDriver) Serve(c *sink.Call) sink.Answer {
	id, _, _ := strings.Cut(c.Rest, "/")
	mark, _, marked := scenario.ParseArrivalID(id)
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case d.ended:
		return sink.Answer{Status: http.StatusGone}
	case marked && mark != d.mark:
		d.foreign.Add(1)
		return sink.Answer{Status: http.StatusGone}
	}
	if !c.Kernel {
		d.unstamped.Add(1)
	}
	d.received.Add(1)
	if d.book == nil {
		d.before.Add(1)
		select {
		case d.first <- c.First:
		default: // there was one
		}
	} else {
		d.book.call(d.read(c))
	}
	return sink.Answer{After: d.takes}
}

// read is what a call says of itself.
func (d *cronDriver) read(c *sink.Call) cronCall {
	clock := d.run.Clock
	call := cronCall{at: clock.Since(c.First), whole: clock.Since(c.Whole), unnamed: d.named != nil}
	if d.named != nil {
		if at, ok := d.named.in(c); ok {
			call.instant, call.names, call.unnamed = clock.FromUnix(at.UnixNano()), true, false
		}
	}
	return call
}

// A cronCall is what a call says of itself, on the run's clock.
type cronCall struct {
	at, whole time.Duration // of its first and last byte
	instant   time.Duration // the one it names, where names
	names     bool
	unnamed   bool // it was to name one, and does not
}

// A namedInstant reads from a call which instant it was scheduled for.
type namedInstant struct {
	header string // canonical
	query  string
	path   *jsonPath
	parser fastjson.ParserPool
}

func newNamedInstant(c *scenario.Correlation) *namedInstant {
	if c == nil {
		return nil
	}
	n := &namedInstant{header: http.CanonicalHeaderKey(c.Header), query: c.Query}
	if c.JSON.Text != "" {
		n.path = &jsonPath{text: c.JSON.Text, steps: c.JSON.Steps, any: true}
	}
	return n
}

// in is the instant that c names; false where it names none that can be read.
func (n *namedInstant) in(c *sink.Call) (time.Time, bool) {
	switch {
	case n.header != "":
		if values := c.Header[n.header]; len(values) > 0 {
			return parseInstant(values[0])
		}
	case n.query != "":
		return parseInstant(c.Query.Get(n.query))
	case n.path != nil:
		p := n.parser.Get()
		defer n.parser.Put(p)
		if text, ok := jsonText(p, n.path, c.Body); ok {
			return parseInstant(text)
		}
	}
	return time.Time{}, false
}

// jsonText is the first value in body that path leads to, by textOfJSON.
func jsonText(p *fastjson.Parser, path *jsonPath, body []byte) (string, bool) {
	root, err := p.ParseBytes(body)
	if err != nil {
		return "", false
	}
	v, _ := path.lead(root, path.steps)
	if v == nil || v.Type() == fastjson.TypeNull {
		return "", false
	}
	return textOfJSON(v), true
}

// parseInstant reads RFC 3339, or Unix seconds with or without a fraction.
func parseInstant(text string) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, at.Year() >= 1970 && at.Year() < 2200
	}
	seconds, err := strconv.ParseFloat(text, 64)
	const most = 7e9 // the year 2191, and no number of milliseconds after April 1970
	if err != nil || !(seconds >= 0 && seconds < most) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(math.Round(fraction*1e9))), true
}

// cronCounts are counted where calls come in, apart from the book.
type cronCounts struct {
	received  atomic.Int64 // calls with the run's mark, or none
	before    atomic.Int64 // of those, the ones that came before the run
	foreign   atomic.Int64
	unstamped atomic.Int64
}
