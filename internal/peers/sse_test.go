package peers_test

import (
	"context"
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// What the simulator sends: 100 tokens, 50 ms apart. With the three events
// before the first token and the three after the last a stream has 106.
const (
	simTTFT      = 300 * time.Millisecond
	simGap       = 50 * time.Millisecond
	simTokens    = 100
	streamEvents = simTokens + 6
)

// openRate is how many streams or sockets are opened a second.
const openRate = 500

// opened is the rate at which n are opened, and the seconds that takes.
func opened(n int) (rate int, seconds float64) {
	rate = min(n, openRate)
	return rate, float64(n) / float64(rate)
}

// sse is the part with n token streams held at once.
func (b *bench) sse(n int) *table {
	t := b.tools
	t1 := &table{
		Title: fmt.Sprintf("%d token streams", n),
		Text: fmt.Sprintf("Each opened at its instant (%d/s) straight at the simulator, %d tokens %v apart, read to the end.\n"+
			"CPU and memory of the client's process, beyond those of the same program with one stream (“with start-up”: all of it).\n"+
			"TTFT is what the tool reports; true is what the server's stamps in the same streams give, or for plain k6, which cannot see\n"+
			"them, what the server was told to wait. Delivery is receipt − stamp over all tokens. Times in ms.", openRate, simTokens, simGap),
		Columns: []column{
			{"cpu", "CPU-s a million events"}, {"floors", "÷ floor"}, {"gross", "with start-up"}, {"memory", "KiB a stream"}, {"start", "MiB before"},
			{"ttft50", "TTFT p50"}, {"true50", "true p50"}, {"ttft99", "TTFT p99"}, {"true99", "true p99"}, {"lag50", "delivery p50"}, {"lag99", "delivery p99"},
		},
	}
	t1.Rows = b.alternate(fmt.Sprintf("%d streams", n), []contestant{
		by(t.Loadgen, "loadgen", t.loadgenSSE),
		by(t.K6SSE, "k6 + xk6-sse", t.k6SSE),
		by(t.K6, "k6, http.post", t.k6Post),
		by(t.PlainGo, "net/http", func(ctx context.Context, addr string, n int) (outcome, error) {
			return ownSSE(ctx, "plain-sse", addr, n)
		}),
		by(t.FloorGo, "floor", func(ctx context.Context, addr string, n int) (outcome, error) {
			return ownSSE(ctx, "floor-sse", addr, n)
		}),
	}, n, 1)
	t1.relative("cpu", "floor", "floors")
	return t1
}

// streamsRead is the outcome of a run that read so many of n streams.
func streamsRead(c child, complete, n int, f figures) outcome {
	o := outcome{child: c, Events: float64(complete * streamEvents), Figures: f}
	if complete != n {
		o.Note = fmt.Sprintf("%d of %d streams complete", complete, n)
	}
	return o
}

// ms is nanoseconds in milliseconds.
func ms[N int64 | float64](ns N) float64 { return float64(ns) / 1e6 }

func ownSSE(ctx context.Context, name, addr string, n int) (outcome, error) {
	rate, _ := opened(n)
	r, c, err := runClient(ctx, name, order{Addr: addr, N: n, OpenRate: rate, Path: wire.PathMessages})
	if err != nil {
		return outcome{}, err
	}
	if r.Events != int64(r.Complete*streamEvents) {
		return outcome{}, fmt.Errorf("%d events in %d streams, want %d each", r.Events, r.Complete, streamEvents)
	}
	return streamsRead(c, r.Complete, n, figures{
		"ttft50": ms(r.TTFT[0]), "ttft99": ms(r.TTFT[1]), "true50": ms(r.Truth[0]), "true99": ms(r.Truth[1]), "lag50": ms(r.Lag[0]), "lag99": ms(r.Lag[1]),
	}), nil
}

func (t *tools) loadgenSSE(ctx context.Context, addr string, n int) (outcome, error) {
	rate, seconds := opened(n)
	s, c, err := t.loadgen(ctx, fmt.Sprintf(`
version: 1
name: peers
target: http://%s
warmup: 0s
duration: %gs
drain: 30s
workloads:
  chat:
    protocol: sse
    dialect: anthropic
    load: {rate: %d/s}
    request:
      method: POST
      path: %s
      headers: {Content-Type: application/json}
      body: '%s'
`, addr, seconds, rate, wire.PathMessages, promptBody))
	if err != nil {
		return outcome{}, err
	}
	ttft, truth, lag := s.metric("ttft_service").Distribution, s.metric("truth_ttft").Distribution, s.metric("delivery_lag").Distribution
	o := streamsRead(c, int(s.metric("complete").Value), n, figures{
		"ttft50": ms(ttft.P50), "ttft99": ms(ttft.P99), "true50": ms(truth.P50), "true99": ms(truth.P99), "lag50": ms(lag.P50), "lag99": ms(lag.P99),
	})
	if o.Note == "" {
		o.Note = s.verdict()
	}
	return o, nil
}

// k6Opening is a scenario that begins n iterations at the open rate.
func k6Opening(n int) string {
	rate, seconds := opened(n)
	return fmt.Sprintf(`{ executor: 'constant-arrival-rate', rate: %d, timeUnit: '1s', duration: '%gs', preAllocatedVUs: %d, maxVUs: %d, gracefulStop: '60s' }`,
		rate, seconds, n, n)
}

func (t *tools) k6SSE(ctx context.Context, addr string, n int) (outcome, error) {
	s, c, err := t.k6(ctx, `import sse from 'k6/x/sse';
import { Counter, Trend } from 'k6/metrics';
`, k6Opening(n), fmt.Sprintf(`
const ttft = new Trend('peers_ttft'), truth = new Trend('peers_truth'), lag = new Trend('peers_lag'), complete = new Counter('peers_complete');
export default function () {
	const begin = Date.now();
	let first = true;
	sse.open('http://%s%s', { method: 'POST', body: '%s', headers: { 'Content-Type': 'application/json' } }, (client) => {
		client.on('event', (event) => {
			if (event.name === 'message_stop') complete.add(1);
			if (event.name !== '%s') return;
			const now = Date.now(), sent = Number(event.comment.substring(5)) / 1e6;
			lag.add(now - sent);
			if (!first) return;
			first = false;
			ttft.add(now - begin);
			truth.add(sent - begin);
		});
	});
}
`, addr, wire.PathMessages, promptBody, tokenEvent))
	if err != nil {
		return outcome{}, err
	}
	ttft, truth, lag := s["peers_ttft"], s["peers_truth"], s["peers_lag"]
	return streamsRead(c, int(s["peers_complete"]["count"]), n, figures{
		"ttft50": ttft["med"], "ttft99": ttft["p(99)"], "true50": truth["med"], "true99": truth["p(99)"], "lag50": lag["med"], "lag99": lag["p(99)"],
	}), nil
}

// k6Post reads a stream as k6 can without an extension: as one answer, whose
// waiting time ends with the first byte.
func (t *tools) k6Post(ctx context.Context, addr string, n int) (outcome, error) {
	s, c, err := t.k6(ctx, `import http from 'k6/http';
import { Counter } from 'k6/metrics';
`, k6Opening(n), fmt.Sprintf(`
const complete = new Counter('peers_complete');
export default function () {
	const answer = http.post('http://%s%s', '%s', { headers: { 'Content-Type': 'application/json' } });
	if (answer.status === 200 && answer.body.includes('message_stop')) complete.add(1);
}
`, addr, wire.PathMessages, promptBody))
	if err != nil {
		return outcome{}, err
	}
	waiting, told := s["http_req_waiting"], ms(int64(simTTFT))
	return streamsRead(c, int(s["peers_complete"]["count"]), n, figures{
		"ttft50": waiting["med"], "ttft99": waiting["p(99)"], "true50": told, "true99": told,
	}), nil
}
