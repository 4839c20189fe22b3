package sink

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// A call cannot be whole before it was sent, nor after its answer was read, and where the
// kernel has stamps they are used.
func TestInstantsOnSockets(t *testing.T) {
	calls := make(chan Call, 1)
	s := opened(t, Options{}, handlerFunc(func(c *Call) Answer { calls <- *c; return Answer{} }))
	c, buf := dialed(t, s)
	var errs []time.Duration
	for i := range 200 {
		before := time.Now()
		exchange(t, c, buf, "POST", "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		call, after := <-calls, time.Now()
		if before.Sub(call.First) > rounding || call.Whole.Before(call.First) || call.Whole.After(after) {
			t.Fatalf("call %d: first byte %v after the write, last %v; answered after %v", i, call.First.Sub(before), call.Whole.Sub(before), after.Sub(before))
		}
		errs = append(errs, call.Whole.Sub(before))
		if call.Kernel != (rxtime.Source == "kernel") {
			t.Fatalf("call %d: by the kernel: %v", i, call.Kernel)
		}
	}
	if slices.Sort(errs); errs[len(errs)/2] > time.Millisecond {
		t.Errorf("whole %v after the write at the median", errs[len(errs)/2])
	}
	// The last byte counts, however long after the first.
	if _, err := io.WriteString(c, "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(30 * time.Millisecond)
	before := time.Now()
	exchange(t, c, buf, "POST", "i")
	if call := <-calls; before.Sub(call.Whole) > rounding || before.Sub(call.First) < 20*time.Millisecond {
		t.Errorf("a call cut in two: first byte %v, last %v after the second write", call.First.Sub(before), call.Whole.Sub(before))
	}
}

// rounding is what a kernel's stamp, converted, may be off by.
const rounding = 50 * time.Microsecond

// BenchmarkWhole sends calls at a rate from senders in this process and reports by how
// much Whole differs from the instant right before the call's write, in µs.
func BenchmarkWhole(b *testing.B) {
	for _, rate := range []int{50, 2000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			const senders = 20
			sent := make([][]time.Time, senders)
			var mu sync.Mutex
			var errs []time.Duration
			s := opened(b, Options{}, handlerFunc(func(c *Call) Answer {
				var sender, n int
				if _, err := fmt.Sscanf(c.Rest, "%d/%d", &sender, &n); err != nil {
					b.Error(err)
				}
				mu.Lock()
				errs = append(errs, c.Whole.Sub(sent[sender][n]))
				mu.Unlock()
				return Answer{}
			}))
			var tasks sync.WaitGroup
			gap := time.Second * senders / time.Duration(rate)
			each := b.N/senders + 1
			begin := time.Now().Add(10 * time.Millisecond)
			for i := range senders {
				c, buf := dialed(b, s)
				if err := c.SetDeadline(time.Time{}); err != nil {
					b.Fatal(err)
				}
				sent[i] = make([]time.Time, each)
				tasks.Go(func() {
					for n := range each {
						text := fmt.Sprintf("POST /jobs/%d/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", i, n)
						time.Sleep(time.Until(begin.Add(time.Duration(n)*gap + time.Duration(i)*gap/senders)))
						sent[i][n] = time.Now()
						if _, err := io.WriteString(c, text); err != nil {
							b.Error(err)
							return
						}
						resp, err := http.ReadResponse(buf, nil)
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
					}
				})
			}
			tasks.Wait()
			slices.Sort(errs)
			for name, at := range map[string]float64{"p50-µs": .5, "p99-µs": .99, "max-µs": 1} {
				b.ReportMetric(float64(errs[int(at*float64(len(errs)-1))].Nanoseconds())/1e3, name)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// request is what a client sends, and answerSize how long its answer is.
const request = "POST /jobs/6b0f3a17c4d2e590-17 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: Deno/2.1\r\nAccept: */*\r\n" +
	"Content-Type: application/json\r\nContent-Length: 31\r\n\r\n" + `{"job_id":"17","status":"done"}`

// beClient is a client process: it makes calls on the connections and of the number that
// the address says, as "addr conns calls", and prints what it takes for one.
func beClient(address string) (code int) {
	var addr string
	var conns, calls int
	if _, err := fmt.Sscan(address, &addr, &conns, &calls); err != nil {
		fmt.Println(err)
		return 1
	}
	const workers = 16
	var opened [workers][]net.Conn
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		opened[i%workers] = append(opened[i%workers], c)
	}
	var tasks sync.WaitGroup
	failed := make(chan error, workers)
	for w, own := range opened {
		if len(own) == 0 {
			continue
		}
		tasks.Go(func() {
			answer := make([]byte, 4096)
			for n := w; n < calls; n += workers {
				c := own[n/workers%len(own)]
				if _, err := io.WriteString(c, request); err != nil {
					failed <- err
					return
				}
				if got, err := c.Read(answer); err != nil || !strings.HasSuffix(string(answer[:got]), "\n") {
					failed <- fmt.Errorf("read %q, %w", answer[:got], err)
					return
				}
			}
		})
	}
	tasks.Wait()
	close(failed)
	for err := range failed {
		fmt.Println(err)
		code = 1
	}
	runtime.KeepAlive(opened)
	return code
}
