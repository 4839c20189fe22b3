package driver

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
	"github.com/edgeload/edgeload/internal/wire"
)

// A wholeKeeper keeps when the call to an upstream was whole, by its path.
type wholeKeeper struct {
	*upstream
	plain bool // by Go's timers
	mu    sync.Mutex
	whole map[string]time.Time
}

func (k *wholeKeeper) Serve(c *sink.Call) sink.Answer {
	k.mu.Lock()
	k.whole[c.Rest] = c.Whole
	k.mu.Unlock()
	a := k.upstream.Serve(c)
	if k.plain {
		a.Wait = nil
	}
	return a
}

// BenchmarkUpstreamTokens reports how late the tokens of an upstream's streams are
// written, 50 streams at once, by the run's timers and by Go's.
func BenchmarkUpstreamTokens(b *testing.B) {
	const streams, tokens, gap, ttft = 50, 100, 20 * time.Millisecond, 100 * time.Millisecond
	script := &scenario.Upstream{Stream: &scenario.LLMStream{
		Dialect: scenario.DialectOpenAI, TTFT: scenario.Every(ttft), Gap: scenario.Every(gap), Tokens: scenario.Always(tokens),
	}}
	for _, timers := range []string{"run", "go"} {
		b.Run("timers="+timers, func(b *testing.B) {
			var mu sync.Mutex
			var late []time.Duration
			for b.Loop() {
				s := openSink(b)
				sc := &scenario.Scenario{Sink: &scenario.Sink{Upstreams: map[string]*scenario.Upstream{"idle": {}}}}
				side := newSinkSide(sc, s)
				keeper := &wholeKeeper{
					upstream: &upstream{name: "llm", script: sink.NewScript(script, 1), replies: make(map[string]int64)},
					plain:    timers == "go", whole: make(map[string]time.Time),
				}
				runSide(b, sc, side, func() {
					keeper.run = side.upstreams[0].run
					remove, err := s.Handle("llm", keeper)
					if err != nil {
						b.Error(err)
						return
					}
					defer remove()
					var tasks sync.WaitGroup
					for i := range streams {
						tasks.Go(func() {
							name := string(rune('A' + i))
							time.Sleep(time.Duration(i) * 7 * time.Millisecond)
							_, body, err := ask(b, http.DefaultClient, s.URL()+"/llm/"+name)
							if err != nil {
								b.Error(err)
								return
							}
							mu.Lock()
							defer mu.Unlock()
							n := 0
							for event := range strings.SplitSeq(body, "\n\n") {
								if sent, _, ok := wire.CutStamp([]byte(event)); ok && strings.Contains(event, `"content":"`) && !strings.Contains(event, "role") {
									late = append(late, time.Duration(sent-keeper.whole[name].Add(ttft+time.Duration(n)*gap).UnixNano()))
									n++
								}
							}
						})
					}
					tasks.Wait()
				})
				http.DefaultClient.CloseIdleConnections()
			}
			if len(late) != b.N*streams*tokens {
				b.Fatalf("%d tokens of %d runs", len(late), b.N)
			}
			slices.Sort(late)
			for name, at := range map[string]float64{"p50-µs": .5, "p99-µs": .99, "max-µs": 1} {
				b.ReportMetric(float64(late[int(at*float64(len(late)-1))].Nanoseconds())/1e3, name)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
