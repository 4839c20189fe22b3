package sink

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// pipe serves one end of a connection and returns the other; done waits for the sink to
// have left it.
func pipe(s *Sink) (client net.Conn, done func()) {
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		newConn(s, server).serve()
		_ = server.Close()
	}()
	return client, func() {
		_ = client.Close()
		<-served
	}
}

// bubbled opens a sink without a listener, whose handler is at /jobs.
func bubbled(t testing.TB, h Handler) *Sink {
	s := newSink(Options{}, nil)
	if _, err := s.Handle("jobs", h); err != nil {
		t.Fatal(err)
	}
	return s
}

// quit ends a sink without a listener.
func (s *Sink) quit() {
	s.cancel()
	s.release()
}

type handlerFunc func(*Call) Answer

func (f handlerFunc) Serve(c *Call) Answer { return f(c) }

// A request that is cut into segments, and merged with its neighbours, at any places
// begins with the segment of its first byte and is whole with that of its last.
func TestInstantsOfARequestAreThoseOfItsBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var text []byte
		var begins, ends []int // of requests, in bytes
		var bodies []string
		for i := range rapid.IntRange(1, 4).Draw(rt, "requests") {
			begins = append(begins, len(text))
			body := rapid.StringMatching(`[a-z]{0,20}`).Draw(rt, "body")
			switch rapid.IntRange(0, 2).Draw(rt, "form") {
			case 0:
				text = fmt.Appendf(text, "GET /jobs/%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
				body = ""
			case 1:
				text = fmt.Appendf(text, "POST /jobs/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
			default:
				text = fmt.Appendf(text, "POST /jobs/%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", i)
				for _, b := range body {
					text = fmt.Appendf(text, "1;ext=%d\r\n%c\r\n", i, b)
				}
				text = append(text, "0\r\n\r\n"...)
			}
			bodies = append(bodies, body)
			ends = append(ends, len(text)-1)
		}
		cuts := append(rapid.SliceOfN(rapid.IntRange(1, len(text)), 0, 12).Draw(rt, "cuts"), len(text))
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = deliver(t, text, begins, ends, bodies, cuts) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// deliver sends text in segments a second apart and says what is wrong with the calls
// that come of it.
func deliver(t *testing.T, text []byte, begins, ends []int, bodies []string, cuts []int) (problem string) {
	type seen struct {
		first, whole time.Time
		rest, body   string
	}
	calls := make(chan seen, len(begins))
	s := bubbled(t, handlerFunc(func(c *Call) Answer {
		calls <- seen{c.First, c.Whole, c.Rest, string(c.Body)}
		return Answer{}
	}))
	defer s.quit()
	client, done := pipe(s)
	defer done()
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(io.Discard, client)
	}()
	sentAt := make([]time.Time, len(text))
	for from := 0; from < len(text); {
		to := len(text)
		for _, cut := range cuts {
			if cut > from && cut < to {
				to = cut
			}
		}
		time.Sleep(time.Second)
		for i := from; i < to; i++ {
			sentAt[i] = time.Now()
		}
		if _, err := client.Write(text[from:to]); err != nil {
			return err.Error()
		}
		from = to
	}
	synctest.Wait()
	_ = client.Close()
	<-answers
	close(calls)
	n := 0
	for c := range calls {
		if first, whole := sentAt[begins[n]], sentAt[ends[n]]; !c.first.Equal(first) || !c.whole.Equal(whole) {
			return fmt.Sprintf("request %d: first byte off by %v, last by %v", n, c.first.Sub(first), c.whole.Sub(whole))
		}
		if c.rest != fmt.Sprint(n) || c.body != bodies[n] {
			return fmt.Sprintf("request %d came as %s with %q, want %q", n, c.rest, c.body, bodies[n])
		}
		n++
	}
	if n != len(begins) {
		return fmt.Sprintf("%d of %d requests came", n, len(begins))
	}
	return ""
}

// While a call waits for its answer the connection is watched, and what comes of the next
// request meanwhile has its own instants.
func TestInstantsOfARequestThatComesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []Call
		s := bubbled(t, handlerFunc(func(c *Call) Answer {
			calls = append(calls, *c)
			return Answer{After: 5 * time.Second}
		}))
		defer s.quit()
		client, done := pipe(s)
		defer done()
		begin := time.Now()
		send := func(text string) {
			if _, err := client.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		send("GET /jobs/a HTTP/1.1\r\nHost: a\r\n\r\n")
		send("GET /jobs/b HTTP/1.1\r\nHost: a\r\n\r\n")
		buf := bufio.NewReader(client)
		for range 2 {
			resp, err := http.ReadResponse(buf, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(body, []byte("true")) {
				t.Fatalf("answered %q, %v", body, err)
			}
		}
		if took := time.Since(begin); took != 6*time.Second {
			t.Errorf("both answers are there after %v, want 5s from the last byte of the later", took)
		}
		if len(calls) != 2 {
			t.Fatalf("%d calls", len(calls))
		}
		if first, whole := calls[1].First.Sub(begin), calls[1].Whole.Sub(begin); first != time.Second || whole != time.Second {
			t.Errorf("the second call came from %v to %v, want 1s", first, whole)
		}
	})
}
