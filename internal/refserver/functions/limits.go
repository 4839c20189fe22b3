package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

// What one call of limits may ask for, so that it meets every limit there is and
// brings no server down where there is none.
const (
	maxLimitsRequest = 64 << 10
	maxBurn          = 10 * time.Second
	maxSleep         = 15 * time.Minute
	maxMemory        = 512 << 20
	maxBody          = 64 << 20
	maxMemoryAll     = 1 << 30 // of all calls together
)

// errMemoryAll is what a call gets for which there is no memory left.
var errMemoryAll = errors.New("memory: other calls hold 1024MB together already")

// Limits is the function that meets each limit on purpose. It takes, as JSON by POST
// or in the query by GET, what to do, and does it in this order:
//
//	memory      "100MB"   bytes to take, touch and keep until the answer has ended, at most 512MB;
//	            what the answer buffers comes on top
//	cpu         "500ms"   CPU time to use up, at most 10s
//	sleep       "1s"      time to wait, at most 15m
//	wait_until  {cpu, memory, sleep}: the same once more, as a background task; in the query wait_until.cpu and so on.
//	            Its memory is kept until it has ended, beside that of the call
//	status      200       of the answer, 200 to 599
//	body        "7MB"     bytes to answer, at most 64MB; without it the answer says what was done
//	stream      false     flush before each of the steps above and each 64 KiB of the body
//
// Sizes are whole numbers with B, KB, MB, KiB or MiB; KB and MB are 2^10 and 2^20
// bytes here, as in the limits. Where a field cannot be, the answer is 400 and names
// it; where the worker has as many background tasks as it may, or all calls together
// hold 1024MB, 503.
//
// Memory is really allocated and every page of it written to, CPU time is really
// used. With stream, the bytes before the body are dots, one a step.
func Limits(log *slog.Logger) http.Handler {
	return &limits{log: log}
}

type limits struct {
	log  *slog.Logger
	held atomic.Int64 // by all calls
}

// load is work of a stated size.
type load struct {
	CPU    duration
	Memory edge.Size
	Sleep  duration
}

// limitsRequest is what a call asks for.
type limitsRequest struct {
	load
	WaitUntil *load
	Status    int
	Body      edge.Size
	Stream    bool
}

// limitsReport is what a call did.
type limitsReport struct {
	Worker    uint64 `json:"worker"`
	CPU       string `json:"cpu"`
	Memory    int64  `json:"memory_bytes"`
	Sleep     string `json:"sleep"`
	WaitUntil bool   `json:"wait_until"`
}

// ServeHTTP does what one call asks for.
func (f *limits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !edge.AllowMethod(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	req, err := readLimits(w, r)
	if err != nil {
		edge.WriteError(w, http.StatusBadRequest, "", err.Error())
		return
	}
	if req.Body > 0 || req.Stream {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	step := func() {}
	if req.Stream {
		w.WriteHeader(req.Status)
		step = func() {
			_, _ = io.WriteString(w, ".") // the client has left: the context says so
			_ = http.NewResponseController(w).Flush()
		}
	}
	inv := edge.InvocationOf(r.Context())
	report, release, err := f.run(r.Context(), inv, &req.load, step)
	defer release()
	if errors.Is(err, errMemoryAll) && !req.Stream {
		edge.WriteError(w, http.StatusServiceUnavailable, "", err.Error())
		return
	}
	if err != nil {
		f.log.Debug("stopped", "function", NameLimits, "reason", err)
		return // the limit's answer is the server's
	}
	if req.WaitUntil != nil {
		err := inv.WaitUntil(func(ctx context.Context) {
			_, release, err := f.run(ctx, inv, req.WaitUntil, func() {})
			defer release()
			if err != nil {
				f.log.Debug("background task stopped", "function", NameLimits, "reason", err)
			}
		})
		if errors.Is(err, edge.ErrTooManyTasks) && !req.Stream {
			edge.WriteError(w, http.StatusServiceUnavailable, "", err.Error())
			return
		}
		if err != nil {
			f.log.Debug("no background task", "function", NameLimits, "reason", err)
			return
		}
	}
	answerLimits(w, req, limitsReport{
		Worker: inv.Worker().ID(), CPU: report.CPU.String(), Memory: int64(report.Memory), Sleep: report.Sleep.String(), WaitUntil: req.WaitUntil != nil,
	})
}

// answerLimits writes what was asked for, or what was done.
func answerLimits(w http.ResponseWriter, req *limitsRequest, report limitsReport) {
	if !req.Stream {
		w.WriteHeader(req.Status)
	}
	if req.Body == 0 {
		if !req.Stream {
			_ = json.NewEncoder(w).Encode(report) // the client has left: nobody to tell
		}
		return
	}
	chunk := strings.Repeat("x", 64<<10)
	for left := int64(req.Body); left > 0; left -= int64(len(chunk)) {
		if _, err := io.WriteString(w, chunk[:min(left, int64(len(chunk)))]); err != nil {
			return // the response limit, or the client has left
		}
		if req.Stream {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
	}
}

// take takes memory and touches it. It is kept until release is called, which is
// never nil.
func (f *limits) take(inv *edge.Invocation, size int64) (release func(), err error) {
	if err := inv.Hold(size); err != nil {
		return func() {}, err
	}
	if f.held.Add(size) > maxMemoryAll {
		f.held.Add(-size)
		inv.Release(size)
		return func() {}, errMemoryAll
	}
	kept := make([]byte, size)
	for i := 0; i < len(kept); i += 4 << 10 {
		kept[i] = 1
	}
	return func() {
		runtime.KeepAlive(kept)
		f.held.Add(-size)
		inv.Release(size)
	}, nil
}

// run does the work. The error is a limit's, or the end of ctx; what was done until
// then is returned with it. The memory is kept until release is called, which is
// never nil.
func (f *limits) run(ctx context.Context, inv *edge.Invocation, l *load, step func()) (done load, release func(), err error) {
	release = func() {}
	if l.Memory > 0 {
		step()
		if release, err = f.take(inv, int64(l.Memory)); err != nil {
			return done, release, err
		}
		done.Memory = l.Memory
	}
	if l.CPU > 0 {
		step()
		used, err := burn(ctx, inv, time.Duration(l.CPU))
		if done.CPU = duration(used); err != nil {
			return done, release, err
		}
	}
	if l.Sleep > 0 {
		step()
		timer := time.NewTimer(time.Duration(l.Sleep))
		defer timer.Stop()
		select {
		case <-timer.C:
			done.Sleep = l.Sleep
		case <-ctx.Done():
			return done, release, context.Cause(ctx)
		}
	}
	return done, release, nil
}

// readLimits reads what the call asks for; the error names the field.
func readLimits(w http.ResponseWriter, r *http.Request) (*limitsRequest, error) {
	fields, err := limitsFields(w, r)
	if err != nil {
		return nil, err
	}
	req := &limitsRequest{Status: http.StatusOK}
	if err := req.set(fields); err != nil {
		return nil, err
	}
	var errs []error
	check := func(name string, got, most int64, shown any) {
		if got < 0 || got > most {
			errs = append(errs, fmt.Errorf("%s: want 0 to %v", name, shown))
		}
	}
	checkLoad := func(prefix string, l *load) {
		check(prefix+"cpu", int64(l.CPU), int64(maxBurn), maxBurn)
		check(prefix+"memory", int64(l.Memory), maxMemory, "512MB")
		check(prefix+"sleep", int64(l.Sleep), int64(maxSleep), maxSleep)
	}
	checkLoad("", &req.load)
	if req.WaitUntil != nil {
		checkLoad("wait_until.", req.WaitUntil)
	}
	check("body", int64(req.Body), maxBody, "64MB")
	if req.Status < 200 || req.Status > 599 {
		errs = append(errs, errors.New("status: want 200 to 599"))
	}
	return req, errors.Join(errs...)
}

// limitsFields returns the fields of the query, or those of the JSON body in the same
// form.
func limitsFields(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	fields := make(map[string]string)
	if r.Method == http.MethodGet {
		for name, values := range r.URL.Query() {
			fields[name] = values[len(values)-1]
		}
		return fields, nil
	}
	var body map[string]json.RawMessage
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLimitsRequest)).Decode(&body)
	if err != nil && !errors.Is(err, io.EOF) { // nothing at all asks for nothing
		return nil, fmt.Errorf("the request body: %w", err)
	}
	for name, value := range body {
		if name != "wait_until" {
			fields[name] = jsonText(value)
			continue
		}
		var nested map[string]json.RawMessage
		if err := json.Unmarshal(value, &nested); err != nil {
			return nil, errors.New("wait_until: want an object with cpu, memory and sleep")
		}
		fields[name] = ""
		for inner, value := range nested {
			fields[name+"."+inner] = jsonText(value)
		}
	}
	return fields, nil
}

// jsonText is what a JSON value says: the text of a string, anything else as it
// stands.
func jsonText(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// set reads the fields; the error names those that cannot be read.
func (req *limitsRequest) set(fields map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		text := []byte(fields[name])
		into := &req.load
		if name == "wait_until" || strings.HasPrefix(name, "wait_until.") {
			if req.WaitUntil == nil {
				req.WaitUntil = new(load)
			}
			into = req.WaitUntil
		}
		var err error
		switch name {
		case "wait_until":
		case "cpu", "wait_until.cpu":
			err = into.CPU.UnmarshalText(text)
		case "memory", "wait_until.memory":
			err = into.Memory.UnmarshalText(text)
		case "sleep", "wait_until.sleep":
			err = into.Sleep.UnmarshalText(text)
		case "body":
			err = req.Body.UnmarshalText(text)
		case "status":
			if req.Status, err = strconv.Atoi(string(text)); err != nil {
				err = fmt.Errorf("%q: want a whole number", text)
			}
		case "stream":
			if req.Stream, err = strconv.ParseBool(string(text)); err != nil {
				err = fmt.Errorf("%q: want true or false", text)
			}
		default:
			err = errors.New("no such field")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
