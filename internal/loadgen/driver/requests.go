package driver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// requests makes the request of each arrival of a workload. Any number of
// goroutines may use it at once.
type requests struct {
	base *url.URL
	seed uint64
	sink string // its address

	// built are the requests that are the same for every arrival: one, or those of
	// a target file.
	built   []*http.Request
	targets *scenario.TargetRequests // nil without a target file

	template *requestTemplate // nil where built are all there are
	rows     *scenario.Rows   // nil without a feed
	lengths  *scenario.Lengths
	keeps    bool // the conversations of sessions
}

// newRequests reads a workload's target file, or compiles its request, which accepts
// what accept says unless it says otherwise itself.
func newRequests(of opening, accept string) (*requests, error) {
	sc, w := of.scenario, of.workload
	h := &requests{seed: sc.Seed, sink: of.sinkURL(), lengths: of.lengths, keeps: keepsAnswers(w)}
	switch {
	case w.Targets != nil:
		return h, h.open(sc, w)
	case w.Request == nil:
		return nil, fmt.Errorf("%s workload with neither a request nor targets", w.Protocol)
	}
	t, err := newRequestTemplate(sc.Target, w.Request, requestDefaults{types: accept, gzip: w.Compression, close: !keepsAlive(w)})
	if err != nil {
		return nil, err
	}
	h.base, h.template = t.base, t
	if w.Feed != nil {
		if h.rows, err = scenario.OpenFeed(sc.Dir, w.Feed, sc.Seed); err != nil {
			return nil, err
		}
	}
	if t.constant() {
		req, err := t.build(context.Background(), &scenario.Data{})
		if err != nil {
			return nil, err
		}
		h.built, h.template = []*http.Request{req}, nil
	}
	return h, nil
}

// keepsAlive reports whether a connection of w is used again.
func keepsAlive(w *scenario.Workload) bool { return w.KeepAlive == nil || *w.KeepAlive }

// open builds the requests of a target file.
func (h *requests) open(sc *scenario.Scenario, w *scenario.Workload) (err error) {
	t := w.Targets
	if h.base, err = url.Parse(sc.Target); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if h.targets, err = scenario.OpenTargets(sc, t); err != nil {
		return err
	}
	for _, target := range h.targets.All {
		to, err := h.base.Parse(target.Path)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", t.File, target.Line, err)
		}
		var body io.Reader
		if len(target.Body) > 0 {
			body = bytes.NewReader(target.Body)
		}
		req, err := http.NewRequestWithContext(context.Background(), target.Method, to.String(), body)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", t.File, target.Line, err)
		}
		req.Close = !keepsAlive(w)
		req.Header["User-Agent"] = []string{userAgent}
		if w.Compression {
			req.Header["Accept-Encoding"] = []string{"gzip"}
		}
		for name, values := range target.Headers { // names stay as they are written
			if strings.EqualFold(name, "User-Agent") { // but this, which net/http looks for
				name = "User-Agent"
			}
			req.Header[name] = values
		}
		h.built = append(h.built, req)
	}
	return nil
}

// data is what the templates see of a.
func (h *requests) data(run *engine.Run, a engine.Arrival) *scenario.Data {
	data := &scenario.Data{Seq: a.Seq, User: a.User, Workload: run.Workload, RunID: run.ID, Seed: h.seed, Sink: h.sink, Lengths: h.lengths}
	if h.rows != nil {
		data.Feed = h.rows.Row(a.Seq)
	}
	data.Vars = varsOf(a)
	if a.Session != nil {
		data.InSession = &scenario.Turn{Session: a.Session.Number, Turn: a.Turn, Keeps: h.keeps}
		if h.keeps {
			data.InSession.Before = conversationOf(a).messages
		}
	}
	return data
}

// build makes the request of a. A request without a body may be shared: it is
// not to be changed.
func (h *requests) build(run *engine.Run, a engine.Arrival) (*http.Request, error) {
	if h.template != nil {
		return h.buildFor(h.data(run, a))
	}
	if h.targets != nil {
		return again(h.built[h.targets.Index(a.Seq)])
	}
	return again(h.built[0])
}

// dataBehind is what they see behind the answer to a, out of which vars were taken.
func (h *requests) dataBehind(run *engine.Run, a engine.Arrival, vars map[string]string) *scenario.Data {
	data := h.data(run, a)
	data.Vars = vars
	return data
}

// buildFor makes the request that is not of a target file, for d.
func (h *requests) buildFor(d *scenario.Data) (*http.Request, error) {
	if h.template == nil {
		return again(h.built[0])
	}
	return h.template.build(context.Background(), d)
}

// again is a request that was built once, to be sent once more.
func again(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	req = req.WithContext(req.Context())
	req.Body = body
	return req, nil
}
