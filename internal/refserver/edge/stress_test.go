package edge

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// spy notes what is answered through it.
type spy struct {
	http.ResponseWriter
	code int
	body strings.Builder
}

func (s *spy) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *spy) Write(b []byte) (int, error) {
	s.body.Write(b)
	return s.ResponseWriter.Write(b)
}

func (s *spy) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// rough is a function that does what its query says.
type rough struct {
	sockets sync.Map // by the number of the request: it has one
	open    sync.WaitGroup
	begun   atomic.Uint64
}

func (f *rough) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inv := InvocationOf(r.Context())
	ms := func(name string) time.Duration {
		n, _ := strconv.Atoi(r.URL.Query().Get(name))
		return time.Duration(n) * time.Millisecond
	}
	if task := ms("task"); task > 0 {
		err := inv.WaitUntil(func(ctx context.Context) {
			select {
			case <-time.After(task):
			case <-ctx.Done():
			}
		})
		if err == nil {
			f.begun.Add(1)
		}
	}
	if r.URL.Query().Get("do") == "socket" {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		f.sockets.Store(r.URL.Query().Get("n"), true)
		closed := inv.Detach()
		f.open.Go(func() {
			_, _ = io.Copy(io.Discard, conn) // to its end, whichever
			_ = conn.Close()
			closed()
		})
		return
	}
	select {
	case <-time.After(ms("sleep")):
		_, _ = io.WriteString(w, "done")
	case <-r.Context().Done():
	}
}

// TestBooksBalanceUnderLoad lets 200 clients loose, who leave when they like, on
// workers that live for a second: each request, task and socket is accounted for.
func TestBooksBalanceUnderLoad(t *testing.T) {
	for name, limit := range map[string]time.Duration{"idle timeout": 250 * time.Millisecond, "no idle timeout": 0} {
		t.Run(name, func(t *testing.T) { loose(t, limit) })
	}
}

func loose(t *testing.T, limit time.Duration) {
	f := new(rough)
	s, _ := one(t, Options{Workers: 3, MaxTasks: 5, MaxWaiting: 150, Limits: Limits{
		Policy: PerRequest, WallClock: time.Second, RequestIdle: limit, RequestWait: 200 * time.Millisecond,
	}}, handler(f.ServeHTTP))
	var mu sync.Mutex
	var books [5]uint64
	var requests uint64
	life := serve(t, &Life{Drain: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &spy{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			reason := recover()
			rec := httptest.NewRecorder()
			rec.WriteHeader(watched.code)
			_, _ = rec.WriteString(watched.body.String()) // a recorder takes all
			o := outcomeOf(t, reply{rec, reason != nil})
			if _, has := f.sockets.Load(r.URL.Query().Get("n")); o == answered && r.URL.Query().Has("do") && !has {
				o = killed // by the time its connection was the function's
			}
			mu.Lock()
			books[o]++
			requests++
			mu.Unlock()
			if reason != nil {
				panic(reason)
			}
		}()
		s.ServeHTTP(watched, r)
	})})
	c := client(false)
	var clients sync.WaitGroup
	var number atomic.Int64
	for range 200 {
		clients.Go(func() {
			for range 5 {
				n, do := int(number.Add(1)), rand.IntN(10)
				path := fmt.Sprintf("%sf?n=%d&sleep=%d", PathFunctions, n, rand.IntN(10))
				if do < 3 {
					path += fmt.Sprintf("&task=%d", 1+rand.IntN(2000))
				}
				stay := time.Duration(rand.IntN(400)) * time.Millisecond
				if n%40 == 0 { // its worker may die first
					path, stay = strings.Replace(path, "sleep=", "sleep=90", 1), 2*time.Second
				}
				if do == 2 || do == 3 {
					dangle(t, strings.TrimPrefix(life.url, "http://"), path+"&do=socket", stay)
					continue
				}
				ctx, leave := context.WithTimeout(t.Context(), stay)
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, life.url+path, nil)
				if err != nil {
					t.Error(err)
				}
				if resp, err := c.Do(req); err == nil { // else it has left, or was cut
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				leave()
			}
		})
	}
	clients.Wait()
	c.CloseIdleConnections()
	life.stop()
	life.ended(t, 10*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = s.Terminate(ctx) // says what it cut
	f.open.Wait()
	st := s.Stats()[0]
	t.Logf("%d requests: %+v", requests, st)
	if want := [5]uint64{requests - st.RequestsRefused - st.IdleTimeouts - st.RequestsKilled - st.TooBig,
		st.RequestsRefused, st.IdleTimeouts, st.RequestsKilled, st.TooBig}; books != want {
		t.Errorf("answered, refused, idle, killed, too big: clients saw %v, the server counts %v: %+v", books, want, st)
	}
	if st.TasksBegun != f.begun.Load() || st.TasksBegun != st.TasksSettled+st.TasksLost || st.TasksPending != 0 {
		t.Errorf("%d tasks begun: %+v", f.begun.Load(), st)
	}
	if st.RequestsNow != 0 || st.SocketsNow != 0 || st.WaitingNow != 0 || len(st.Workers) != 0 {
		t.Errorf("something is left: %+v", st)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, wire.PathMetrics, nil))
	for _, line := range []string{`refserver_function_requests_in_flight{function="f"} 0`, fmt.Sprintf(`refserver_function_duration_seconds_count{function="f"} %d`, requests)} {
		if !strings.Contains(rec.Body.String(), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// dangle asks for a socket, holds it for a while and leaves.
func dangle(t *testing.T, addr, path string, stay time.Duration) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: f\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(stay))
	_, _ = io.Copy(io.Discard, conn) // until the deadline, or it is cut
}
