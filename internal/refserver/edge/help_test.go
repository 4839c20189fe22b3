package edge

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// reply is an answer as its client sees it.
type reply struct {
	*httptest.ResponseRecorder
	cut bool // it ended early
}

// call sends a request and waits for the end of its answer.
func call(h http.Handler, path string) reply { return callIn(context.Background(), h, path) }

func callIn(ctx context.Context, h http.Handler, path string) reply {
	return answerOf(ctx, h, path, func(rec *httptest.ResponseRecorder) http.ResponseWriter { return rec })
}

// answerOf sends a request whose answer goes to what writer makes of a recorder.
func answerOf(ctx context.Context, h http.Handler, path string, writer func(*httptest.ResponseRecorder) http.ResponseWriter) (r reply) {
	r.ResponseRecorder = httptest.NewRecorder()
	defer func() {
		if reason := recover(); reason != nil {
			err, ok := reason.(error)
			if !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(reason)
			}
			r.cut = true
		}
	}()
	h.ServeHTTP(writer(r.ResponseRecorder), httptest.NewRequestWithContext(ctx, http.MethodGet, PathFunctions+path, nil))
	return r
}

// code is the code of an error answer.
func (r reply) code() string { return r.Header().Get(HeaderErrorCode) }

// upgradable is a ResponseWriter whose connection can be taken over.
type upgradable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (u upgradable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(bufio.NewReader(u.conn), bufio.NewWriter(u.conn)), nil
}

// upgrade sends a request whose connection may be taken over, and returns the
// client's end of it and what is closed when the function returns.
func upgrade(h http.Handler, path string) (net.Conn, chan struct{}) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(upgradable{httptest.NewRecorder(), far}, httptest.NewRequest(http.MethodGet, PathFunctions+path, nil))
	}()
	return near, done
}

// one is a server with one function, named f, that is made in each worker; it is
// closed with the test.
func one(t testing.TB, opts Options, load func(*Worker) (http.Handler, error)) (*Server, *truth.Ledger) {
	t.Helper()
	opts.Functions = []Function{{Name: "f", Load: load}}
	opts.Ledger = truth.New(0)
	s := New(opts)
	t.Cleanup(func() { _ = s.Close() }) // says what it cut
	return s, opts.Ledger
}

// handler is a function without memory.
func handler(f http.HandlerFunc) func(*Worker) (http.Handler, error) {
	return func(*Worker) (http.Handler, error) { return f, nil }
}

// limitsOf are the limits of a profile.
func limitsOf(t testing.TB, profile string) Limits {
	t.Helper()
	p, err := ParseProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	return p.Limits
}

// events are the events of workers in the order of a ledger, with their details.
func events(l *truth.Ledger) []string {
	var all []string
	records, _ := l.Since(0, 0)
	for _, r := range records {
		text := r.ID + " " + r.Event
		if r.Detail != "" {
			text += ": " + r.Detail
		}
		all = append(all, text)
	}
	return all
}
