package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// shortened are limits that real connections can meet in a test.
var shortened = Limits{WallClock: 600 * time.Millisecond, RequestIdle: 250 * time.Millisecond}

// endings is a function whose path says how it meets its end.
func endings(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, PathFunctions+"f/") {
		case "stream":
			ticks(50*time.Millisecond)(w, r)
		case "stalls":
			_, _ = io.WriteString(w, "first\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case "silent":
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case "socket":
			if r.URL.RawQuery == "hold" {
				if err := InvocationOf(r.Context()).WaitUntil(func(ctx context.Context) { <-ctx.Done() }); err != nil {
					t.Error(err)
				}
			}
			conn, err := new(websocket.Upgrader).Upgrade(hijacker{w}, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, "too late"), time.Now().Add(time.Second))
					_ = conn.Close()
					return
				}
			}
		}
	}
}

// hijacker has the method that gorilla looks for.
type hijacker struct{ http.ResponseWriter }

func (h hijacker) Hijack() (conn net.Conn, rw *bufio.ReadWriter, err error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

func TestLimitsOnRealConnections(t *testing.T) {
	s, ledger := one(t, Options{Limits: shortened}, handler(endings(t)))
	life := serve(t, &Life{Handler: s, Drain: time.Second})
	near := func(what string, start time.Time, want time.Duration) {
		t.Helper()
		if took := time.Since(start); took < want || took > want+2*time.Second {
			t.Errorf("%s ended after %s, want %s", what, took, want)
		}
	}
	fresh := func() { // a worker whose clock starts now
		if err := errors.Join(s.SetBootFault("f", true), s.SetBootFault("f", false)); err != nil {
			t.Fatal(err)
		}
	}
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			c := client(h2)
			defer c.CloseIdleConnections()
			fresh()
			start := time.Now()
			resp, err := c.Get(life.url + PathFunctions + "f/stream")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err == nil || len(body) == 0 {
				t.Errorf("a stream cut at the wall clock ended with %v after %q", err, body)
			}
			near("the stream", start, shortened.WallClock)

			start = time.Now()
			if resp, err = c.Get(life.url + PathFunctions + "f/stalls"); err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(resp.Body); err != nil || string(body) != "first\n" {
				t.Errorf("a stream that stalls ended with %q, %v, want it as if complete", body, err)
			}
			near("the stalled stream", start, shortened.RequestIdle)

			fresh()
			start = time.Now()
			unsent, unsending := io.Pipe() // a body that does not end
			defer func() { _ = unsending.Close() }()
			if resp, err = c.Post(life.url+PathFunctions+"f/silent", "text/plain", unsent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil && !h2 {
				t.Errorf("read the answer: %v", err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != 504 || resp.Header.Get(HeaderErrorCode) != CodeIdleTimeout {
				t.Errorf("silence: %d %s", resp.StatusCode, resp.Header.Get(HeaderErrorCode))
			}
			near("the silent request", start, shortened.RequestIdle)
		})
	}
	for query, want := range map[string]time.Duration{"": shortened.WallClock / 2, "?hold": shortened.WallClock} {
		fresh()
		start := time.Now()
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(life.url, "http")+PathFunctions+"f/socket"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = conn.ReadMessage()
		if !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
			t.Errorf("socket%s ended with %v, want 1006", query, err)
		}
		near("the socket"+query, start, want)
		_ = conn.Close()
	}
	life.stop()
	life.ended(t, 5*time.Second)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if st := s.Stats()[0]; st.Killed[ReasonWallClock] < 3 || st.TasksLost != 1 || len(st.Workers) != 0 {
		t.Errorf("%+v in %v", st, events(ledger))
	}
}

func TestLimitsEndAWriteToAClientThatDoesNotRead(t *testing.T) {
	for limit, limits := range map[string]Limits{
		"idle": {RequestIdle: 200 * time.Millisecond}, "wall clock": {WallClock: 200 * time.Millisecond},
	} {
		for protocol, h2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
			returned := make(chan struct{}, 1)
			s, _ := one(t, Options{Limits: limits}, handler(func(w http.ResponseWriter, r *http.Request) {
				chunk := make([]byte, 1<<20)
				for {
					if _, err := w.Write(chunk); err != nil {
						returned <- struct{}{}
						return
					}
				}
			}))
			life := serve(t, &Life{Handler: s, Drain: time.Second})
			c := client(h2)
			resp, err := c.Get(life.url + PathFunctions + "f")
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-returned:
			case <-time.After(5 * time.Second):
				t.Errorf("%s, %s: the write goes on", limit, protocol)
			}
			_ = resp.Body.Close()
			c.CloseIdleConnections()
			life.stop()
			life.ended(t, 5*time.Second)
		}
	}
}

func TestWritesDoNotAllocate(t *testing.T) {
	for _, profile := range []string{"unlimited", "guide", "supabase-free"} {
		s, _ := one(t, Options{Limits: limitsOf(t, profile)}, handler(func(w http.ResponseWriter, r *http.Request) {
			payload, control := []byte("data: x\n\n"), http.NewResponseController(w)
			_ = control.Flush() // a stream from here on
			if n := testing.AllocsPerRun(1000, func() {
				_, _ = w.Write(payload)
				_ = control.Flush()
			}); n > 0 {
				t.Errorf("%s: %v allocations a write", profile, n)
			}
		}))
		s.ServeHTTP(discard{}, mustRequest(t))
	}
}

// BenchmarkWrite is what a function's write and flush cost beyond net/http's own.
func BenchmarkWrite(b *testing.B) {
	payload := []byte("event: x\ndata: {\"delta\":\"the\"}\n\n")
	run := func(b *testing.B, w http.ResponseWriter) {
		control := http.NewResponseController(w)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = w.Write(payload)
			_ = control.Flush()
		}
	}
	b.Run("bare", func(b *testing.B) { run(b, discard{}) })
	for _, profile := range []string{"unlimited", "supabase-free"} {
		b.Run(profile, func(b *testing.B) {
			s, _ := one(b, Options{Limits: limitsOf(b, profile)}, handler(func(w http.ResponseWriter, r *http.Request) { run(b, w) }))
			s.ServeHTTP(discard{}, mustRequest(b))
		})
	}
}

// BenchmarkRequest is what a request costs beyond net/http's own.
func BenchmarkRequest(b *testing.B) {
	for _, profile := range []string{"unlimited", "supabase-free"} {
		b.Run(profile, func(b *testing.B) {
			s, _ := one(b, Options{Limits: limitsOf(b, profile), Workers: 4}, handler(func(w http.ResponseWriter, r *http.Request) {}))
			r := mustRequest(b)
			b.ReportAllocs()
			for b.Loop() {
				s.ServeHTTP(discard{}, r)
			}
		})
	}
}

func mustRequest(b testing.TB) *http.Request {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, PathFunctions+"f", nil)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// discard is a ResponseWriter that does nothing.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
func (discard) Flush()                      {}
