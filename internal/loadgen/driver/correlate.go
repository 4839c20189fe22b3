package driver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fastjson"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// A correlator finds what a call to the sink belongs to: in its path, a header, a
// parameter of the query, or a value in its body. Any number of goroutines may use
// one at once.
type correlator struct {
	header, query string
	path          *jsonPath
	id            *scenario.Template // nil: the arrival's own ID
	late          bool               // id is only known from an answer
	calls         sync.Pool          // of *heard
}

// newCorrelator compiles c, which the scenario's own checks have passed; nil is the
// path, which the target was given as {{ .Callback }}.
func newCorrelator(c *scenario.Correlation) (*correlator, error) {
	if c == nil {
		c = &scenario.Correlation{}
	}
	out := &correlator{header: http.CanonicalHeaderKey(c.Header), query: c.Query}
	var err error
	if len(c.JSON.Text) > 0 {
		if out.path, err = newJSONPath(&scenario.JSONCheck{Path: c.JSON}); err != nil {
			return nil, fmt.Errorf("correlation: %w", err)
		}
	}
	if c.ID != "" {
		if out.id, err = scenario.CompileTemplate("correlation.id", c.ID); err != nil {
			return nil, fmt.Errorf("correlation: id: %w", err)
		}
		out.late = strings.Contains(c.ID, ".Vars")
	}
	return out, nil
}

// key is what calls name the arrival of d by, where it is not its own ID.
func (c *correlator) key(d *scenario.Data) (string, error) {
	key, err := c.id.Append(nil, d)
	if err != nil {
		return "", fmt.Errorf("correlation: id: %w", err)
	}
	return string(key), nil
}

// A heard call is one that is read like an answer, so that checks and paths look at
// both alike. It is used again.
type heard struct {
	*sink.Call
	x      httpExchange
	answer http.Response
}

// hear reads a call until release.
func (c *correlator) hear(call *sink.Call) *heard {
	h, ok := c.calls.Get().(*heard)
	if !ok {
		h = &heard{}
	}
	h.Call = call
	h.answer = http.Response{Status: "call", Header: call.Header}
	h.x = httpExchange{parser: h.x.parser, answer: &h.answer, kept: call.Body, size: len(call.Body)}
	return h
}

func (c *correlator) release(h *heard) {
	parser := h.x.parser
	if len(h.x.kept) > maxPooled {
		parser = fastjson.Parser{}
	}
	h.Call, h.answer, h.x = nil, http.Response{}, httpExchange{parser: parser}
	c.calls.Put(h)
}

// arrival is the number of the arrival whose own ID, made with mark, stands in what h
// names: within a longer text, too. It does not allocate.
func (c *correlator) arrival(h *heard, mark uint64) (seq uint64, ok bool) {
	if c.path != nil {
		return findArrival(c.value(h).GetStringBytes(), mark)
	}
	return findArrival(c.text(h), mark)
}

// named is the text by which h names what it belongs to; empty where it names
// nothing. A value that is not text is its JSON.
func (c *correlator) named(h *heard) string {
	if c.path == nil {
		return c.text(h)
	}
	if v := c.value(h); v != nil && v.Type() != fastjson.TypeNull {
		return textOfJSON(v)
	}
	return ""
}

// text is what h names where that is not in its body.
func (c *correlator) text(h *heard) string {
	switch {
	case c.header != "":
		if values := h.Header[c.header]; len(values) > 0 {
			return values[0]
		}
		return ""
	case c.query != "":
		return h.Query.Get(c.query)
	}
	return h.Rest
}

// value is the first value that the path leads to; nil where there is none.
func (c *correlator) value(h *heard) *fastjson.Value {
	root, err := h.x.parsed()
	if err != nil {
		return nil
	}
	first, _ := c.path.lead(root, c.path.steps)
	return first
}

// markDigits is how many hexadecimal digits stand before the hyphen of an ID.
const markDigits = 16

// findArrival finds the first ID in text that scenario.ArrivalID made with mark: its
// digits end where digits end. It does not allocate.
func findArrival[T string | []byte](text T, mark uint64) (seq uint64, ok bool) {
	const hexDigits = "0123456789abcdef"
	for from := 0; from+markDigits+1 < len(text); from++ {
		at := 0
		for at < markDigits && text[from+at] == hexDigits[mark>>(60-4*at)&0xf] {
			at++
		}
		if at < markDigits || text[from+at] != '-' {
			continue
		}
		if seq, ok = leadingNumber(text[from+at+1:]); ok {
			return seq, true
		}
	}
	return 0, false
}

// leadingNumber reads the digits that text begins with, without a zero before others.
func leadingNumber[T string | []byte](text T) (n uint64, ok bool) {
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits > 20 || text[0] == '0' && digits > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[:digits]), 10, 64)
	return n, err == nil
}
