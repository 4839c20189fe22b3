// Package admin is the reference server's own interface: ground truth, fault
// switches and cron jobs, under wire.PathAdmin, and the OpenAPI
// description of everything that the server serves.
//
// It is put together from what it is given: it reads snapshots, turns switches and
// passes cron calls on, and decides nothing itself. Who may call it is package
// edge's affair.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

const (
	maxBody        = 1 << 20 // bytes of a request's body
	defaultRecords = 1000    // in an answer
	maxRecords     = 10_000
)

// Switch is a fault that can be turned on and off while the server runs. Its
// setting is text, empty where it is off.
type Switch struct {
	Get func() string
	Set func(setting string) error // refuses what it cannot read
}

// Options sets up the interface; the zero value has no truth to tell.
type Options struct {
	Truth    *truth.Ledger
	Sections map[string]func() any // snapshots of what the parts count, by name
	Switches map[string]Switch     // by name
	Cron     Cron                  // nil: this server has no cron
	Pending  func() int            // work whose end ground truth has yet to see; nil: none ever
	Log      *slog.Logger          // nil: discard
}

// New returns the handler for everything below wire.PathAdmin.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &admin{Options: o, started: time.Now()}
	mux := http.NewServeMux()
	route := func(pattern string, handle func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.answer(w, r, handle) })
	}
	route("GET "+wire.PathAdmin+"truth", a.truth)
	route("GET "+wire.PathAdmin+"truth/records", a.records)
	route("DELETE "+wire.PathAdmin+"truth/records", a.forget)
	route("GET "+wire.PathAdmin+"faults", a.faults)
	route("PUT "+wire.PathAdmin+"faults", a.setFaults)
	route("DELETE "+wire.PathAdmin+"faults", a.clearFaults)
	route("GET "+wire.PathAdmin+"cron/jobs", a.cronJobs)
	route("POST "+wire.PathAdmin+"cron/jobs", a.cronSchedule)
	route("PATCH "+wire.PathAdmin+"cron/jobs/{job}", a.cronAlter)
	route("DELETE "+wire.PathAdmin+"cron/jobs/{job}", a.cronUnschedule)
	route("GET "+wire.PathAdmin+"cron/runs", a.cronRuns)
	mux.HandleFunc(wire.PathAdmin, func(w http.ResponseWriter, r *http.Request) {
		edge.WriteError(w, http.StatusNotFound, edge.CodeNotFound, "no such admin call; "+wire.PathOpenAPI+" lists them")
	})
	return mux
}

type admin struct {
	Options
	started time.Time
}

// problem is an error with the status it is answered with.
type problem struct {
	status int
	text   string
}

// Error returns what the caller is told.
func (p *problem) Error() string { return p.text }

func bad(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// answer runs a call and turns its error into an answer.
func (a *admin) answer(w http.ResponseWriter, r *http.Request, handle func(http.ResponseWriter, *http.Request) error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err := handle(w, r)
	var told *problem
	switch {
	case err == nil:
	case errors.As(err, &told):
		code := ""
		if told.status == http.StatusNotFound {
			code = edge.CodeNotFound
		}
		edge.WriteError(w, told.status, code, told.text)
	default:
		a.Log.Error("admin call", "method", r.Method, "path", r.URL.Path, "error", err)
		edge.WriteError(w, http.StatusInternalServerError, edge.CodeWorkerError, "the call could not be done; the server's log says why")
	}
}

// give answers 200 with a JSON document.
func give(w http.ResponseWriter, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client has left: nobody to tell
	return nil
}

// take reads the body as a JSON document and refuses fields it does not know.
func take(r *http.Request, document any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(document); err != nil {
		return bad("read the body as JSON: %s", told(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return bad("the body has more than one JSON document")
	}
	return nil
}

// told is what a caller is told of a body that cannot be read: the field and what it
// has to be, not the types of a program.
func told(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	kinds := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false", reflect.Int64: "a whole number"}
	kind := kinds[wrong.Type.Kind()]
	if kind == "" {
		kind = "an object"
	}
	if wrong.Field == "" {
		return "want " + kind + ", not " + wrong.Value
	}
	return wrong.Field + ": want " + kind + ", not " + wrong.Value
}

// truth answers counts and snapshots.
func (a *admin) truth(w http.ResponseWriter, _ *http.Request) error {
	sections := make(map[string]any, len(a.Sections))
	for name, section := range a.Sections {
		sections[name] = section()
	}
	return give(w, struct {
		Now       time.Time      `json:"now"`
		StartedAt time.Time      `json:"started_at"`
		Counts    []truth.Count  `json:"counts"`
		Sections  map[string]any `json:"sections"`
	}{time.Now().UTC(), a.started.UTC(), a.Truth.Counts(), sections})
}

// records answers the records after a sequence number.
func (a *admin) records(w http.ResponseWriter, r *http.Request) error {
	after, err := number(r, "after", 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", defaultRecords, maxRecords)
	if err != nil {
		return err
	}
	records, dropped := a.Truth.Since(after, int(limit))
	next := after
	if len(records) > 0 {
		next = records[len(records)-1].Seq
	}
	return give(w, struct {
		Records []truth.Record `json:"records"`
		Next    uint64         `json:"next"`    // to ask for as after
		Dropped uint64         `json:"dropped"` // records after "after" that are no longer kept
	}{records, next, dropped})
}

// forget starts counts and records anew. While work is pending that would leave ends
// without a beginning, and after a kill beginnings that nobody remembers: 409.
func (a *admin) forget(w http.ResponseWriter, _ *http.Request) error {
	if a.Pending != nil {
		if n := a.Pending(); n > 0 {
			return &problem{http.StatusConflict, fmt.Sprintf("%d jobs are pending, whose ends would be without a beginning; try again when they have ended", n)}
		}
	}
	if err := a.Truth.Reset(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// number reads a whole number from the query.
func number(r *http.Request, name string, otherwise, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, bad("query %s=%q: want a whole number up to %d", name, text, most)
	}
	return n, nil
}
