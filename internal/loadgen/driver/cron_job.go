package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/valyala/fastjson"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

const (
	// maxJobAnswer bounds what is read of the answer to a registration, in bytes.
	maxJobAnswer = 1 << 20
	// removeTimeout bounds the removal of a job: someone may wait for an interrupted run.
	removeTimeout = 10 * time.Second
)

// A cronJob is the job at the target that a workload makes and removes.
type cronJob struct {
	register, remove *requestTemplate // nil: nothing is sent
	extract          map[string]*scenario.Extract
	timeout          time.Duration
	dialer           *dialer
	client           *http.Client

	seed uint64
	sink string // its address

	asked bool // it was registered, or may have been
	vars  map[string]string
}

func newCronJob(of opening, timeout time.Duration) (*cronJob, error) {
	w := of.workload
	j := &cronJob{extract: w.Extract, timeout: timeout, seed: of.scenario.Seed, sink: of.sinkURL(), vars: make(map[string]string)}
	for _, sent := range []struct {
		key     string
		request *scenario.Request
		into    **requestTemplate
	}{{"register", w.Cron.Register, &j.register}, {"remove", w.Cron.Remove, &j.remove}} {
		if sent.request == nil {
			continue
		}
		t, err := newRequestTemplate(of.scenario.Target, sent.request, requestDefaults{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sent.key, err)
		}
		*sent.into = t
	}
	j.dialer = dialerFor(w, timeout, "h2", "http/1.1")
	j.client = &http.Client{
		Transport:     newTransport(j.dialer, false, 1),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return j, nil
}

// data is what the templates of the job's requests see.
func (j *cronJob) data(run engine.Run) *scenario.Data {
	return &scenario.Data{User: -1, Workload: run.Workload, RunID: run.ID, Seed: j.seed, Sink: j.sink, Vars: j.vars}
}

// make registers the job, and takes from the answer what its removal needs.
func (j *cronJob) make(ctx context.Context, data *scenario.Data) error {
	if j.register == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	j.asked = true
	header, body, err := j.send(ctx, j.register, data)
	if err != nil {
		return fmt.Errorf("register the job: %w", err)
	}
	for name, e := range j.extract {
		value, ok := extracted(e, header, body)
		if !ok {
			return fmt.Errorf("register the job: the answer has no %s for %s: %s", place(e), name, excerpt(string(body)))
		}
		j.vars[name] = value
	}
	return nil
}

// unmake removes the job, where it may be there.
func (j *cronJob) unmake(data *scenario.Data) error {
	if j.remove == nil || j.register != nil && !j.asked {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(j.timeout, removeTimeout))
	defer cancel()
	j.asked = false
	if _, _, err := j.send(ctx, j.remove, data); err != nil {
		return fmt.Errorf("remove the job: %w", err)
	}
	return nil
}

// send sends a request that must be answered 2xx. The error leaves the query out,
// which may carry a key.
func (j *cronJob) send(ctx context.Context, t *requestTemplate, data *scenario.Data) (http.Header, []byte, error) {
	req, err := t.build(ctx, data)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) error { return fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err) }
	resp, err := j.client.Do(req)
	if err != nil {
		if around := new(url.Error); errors.As(err, &around) {
			err = around.Err
		}
		return nil, nil, fail(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or not wanted
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJobAnswer))
	if err != nil {
		return nil, nil, fail(err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, fail(fmt.Errorf("answered %s: %s", resp.Status, excerpt(string(body))))
	}
	return resp.Header, body, nil
}

// close lets go of the connections.
func (j *cronJob) close() {
	j.client.CloseIdleConnections()
	j.dialer.close()
}

// extracted is the value that e takes out of an answer.
func extracted(e *scenario.Extract, header http.Header, body []byte) (string, bool) {
	if e.Header != "" {
		values := header.Values(e.Header)
		if len(values) == 0 {
			return "", false
		}
		return values[0], true
	}
	return jsonText(new(fastjson.Parser), &jsonPath{text: e.JSON.Text, steps: e.JSON.Steps, any: true}, body)
}

// place names where e looks.
func place(e *scenario.Extract) string {
	if e.Header != "" {
		return "header " + e.Header
	}
	return "value at " + e.JSON.Text
}
