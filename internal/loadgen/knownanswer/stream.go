package knownanswer

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// Bounds of one stream.
const (
	maxEvents = 100_000
	maxWait   = time.Minute // to the first event, and between two
)

// A script is what one stream is made of, from the query of its request:
// "events", "ttft" and "gap".
type script struct {
	events    int
	ttft, gap time.Duration
}

// parseScript reads a query; every parameter must be there.
func parseScript(q url.Values) (script, error) {
	var s script
	var err error
	if s.events, err = strconv.Atoi(q.Get("events")); err != nil || s.events < 1 || s.events > maxEvents {
		return s, fmt.Errorf("events=%q: want a number from 1 to %d", q.Get("events"), maxEvents)
	}
	for name, d := range map[string]*time.Duration{"ttft": &s.ttft, "gap": &s.gap} {
		if *d, err = time.ParseDuration(q.Get(name)); err != nil || *d < 0 || *d > maxWait {
			return s, fmt.Errorf("%s=%q: want a duration from 0 to %v", name, q.Get(name), maxWait)
		}
	}
	return s, nil
}

const (
	// streamEvent is one content chunk as OpenAI's API writes it.
	streamEvent = `data: {"id":"known","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}` + "\n\n"
	streamEnd   = "data: [DONE]\n\n"
)

// stream serves the stream that a request asks for: over HTTP/1.1 it takes the
// connection over, and serves streams on it, one after the other, until the client
// leaves.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	want, err := parseScript(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.ProtoMajor == 2 {
		if s.enter() {
			defer s.tasks.Done()
			t := teller{out: &shared{w: w, flusher: http.NewResponseController(w)}, timer: time.NewTimer(maxWait)}
			defer t.timer.Stop()
			_ = t.tell(ctx, want, begin) // the client is gone, or the server ends
		}
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !s.take(conn) {
		_ = conn.Close() // the server is ending
		return
	}
	defer s.release(conn)
	if conn.SetDeadline(time.Time{}) != nil { // net/http's own
		return
	}
	t := teller{out: &own{conn: conn}, timer: time.NewTimer(maxWait)}
	defer t.timer.Stop()
	for t.tell(ctx, want, begin) == nil {
		if want, err = nextScript(buffered.Reader); err != nil {
			return // gone, or something else than a stream
		}
		begin = time.Now()
	}
}

// nextScript reads the next request of a connection.
func nextScript(r *bufio.Reader) (script, error) {
	request, err := http.ReadRequest(r)
	if err != nil {
		return script{}, err
	}
	if request.URL.Path != PathStream || request.ContentLength != 0 {
		return script{}, fmt.Errorf("%s %s on a connection of streams", request.Method, request.URL.Path)
	}
	return parseScript(request.URL.Query())
}

// A line takes what a stream says, each piece at once.
type line interface {
	head() error
	event(b []byte) error
	end(b []byte) error // the last of them
}

// A teller says streams on one line.
type teller struct {
	out   line
	timer *time.Timer
	buf   []byte
}

// tell says one stream. Its deadlines are absolute from begin, so that a late
// event does not move the next.
func (t *teller) tell(ctx context.Context, want script, begin time.Time) error {
	if err := t.out.head(); err != nil {
		return err
	}
	due := begin.Add(want.ttft)
	for range want.events {
		if err := t.wait(ctx, due); err != nil {
			return err
		}
		t.buf = append(wire.AppendStamp(t.buf[:0], time.Now()), streamEvent...)
		if err := t.out.event(t.buf); err != nil {
			return err
		}
		due = due.Add(want.gap)
	}
	return t.out.end([]byte(streamEnd))
}

// wait returns at an instant, or with ctx's error.
func (t *teller) wait(ctx context.Context, until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		return ctx.Err()
	}
	t.timer.Reset(left)
	select {
	case <-t.timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
