package peers_test

import (
	"context"
	"fmt"

	"github.com/edgeload/edgeload/internal/wire"
)

// Rooms of 100, each written to ten times a second by one of its members.
const (
	roomSize = 100
	roomRate = 10
)

// ws is the part with n WebSocket connections.
func (b *bench) ws(n int) *table {
	t := b.tools
	n = max(n/roomSize, 1) * roomSize
	t1 := &table{
		Title: fmt.Sprintf("%d WebSocket connections in rooms of %d", n, roomSize),
		Text: fmt.Sprintf("Opened at %d/s; as soon as a room is complete one of its members sends %d messages a second of %d bytes, until %v after the last.\n"+
			"CPU and memory of the client's process beyond those of the same program with one room of two. Delivered: received ÷ (sent × %d).\n"+
			"Fanout is what the tool reports, in ms: from the send instant in the message, with loadgen from the planned one.",
			openRate, roomRate, messageSize, settle+*hold, roomSize-1),
		Columns: []column{
			{"cpu", "CPU-s a million received"}, {"floors", "÷ floor"}, {"plains", "÷ gorilla"}, {"gross", "with start-up"}, {"memory", "KiB a connection"}, {"start", "MiB before"},
			{"delivered", "delivered"}, {"lag50", "fanout p50"}, {"lag99", "fanout p99"},
		},
	}
	t1.Rows = b.alternate(fmt.Sprintf("%d sockets", n), []contestant{
		by(t.Loadgen, "loadgen", t.loadgenWS),
		by(t.K6, "k6/websockets", t.k6WS),
		by(t.PlainGo, "gorilla", func(ctx context.Context, addr string, n int) (outcome, error) { return ownWS(ctx, "plain-ws", addr, n) }),
		by(t.PlainGo, "gorilla, small buffers", func(ctx context.Context, addr string, n int) (outcome, error) {
			return ownWS(ctx, "small-ws", addr, n)
		}),
		by(t.FloorGo, "floor", func(ctx context.Context, addr string, n int) (outcome, error) { return ownWS(ctx, "floor-ws", addr, n) }),
	}, n, 2)
	t1.relative("cpu", "floor", "floors")
	t1.relative("cpu", "gorilla", "plains")
	return t1
}

// messagesRead is the outcome of a run in which so many messages were sent into
// rooms of size members.
func messagesRead(c child, received, sent float64, size int, f figures) outcome {
	f["delivered"] = received / (sent * float64(size-1))
	return outcome{child: c, Events: received, Figures: f}
}

func ownWS(ctx context.Context, name, addr string, n int) (outcome, error) {
	rate, _ := opened(n)
	size := min(n, roomSize)
	r, c, err := runClient(ctx, name, order{
		Addr: addr, N: n, OpenRate: rate, RoomSize: size, RoomRate: roomRate, Hold: int64(*hold), Path: wire.PathWSRelay,
	})
	if err != nil {
		return outcome{}, err
	}
	return messagesRead(c, float64(r.Events), float64(r.Published), size, figures{"lag50": ms(r.Lag[0]), "lag99": ms(r.Lag[1])}), nil
}

func (t *tools) loadgenWS(ctx context.Context, addr string, n int) (outcome, error) {
	_, seconds := opened(n)
	size := min(n, roomSize)
	s, c, err := t.loadgen(ctx, fmt.Sprintf(`
version: 1
name: peers
target: http://%s
warmup: 0s
duration: %gs
drain: 5s
workloads:
  rooms:
    protocol: websocket
    load: {users: %d, ramp: %gs}
    room: {path: '%s?room={{ .Room | urlquery }}', members: %d, publish: %d/s, publishers: 1, payload: %dB, settle: 0s}
`, addr, (settle+*hold).Seconds()+seconds, n, seconds, wire.PathWSRelay, size, roomRate, messageSize))
	if err != nil {
		return outcome{}, err
	}
	f := s.metric("fanout").Distribution
	o := messagesRead(c, s.metric("received").Value, s.metric("expected").Value/float64(size-1), size, figures{"lag50": ms(f.P50), "lag99": ms(f.P99)})
	o.Note = s.verdict()
	return o, nil
}

func (t *tools) k6WS(ctx context.Context, addr string, n int) (outcome, error) {
	rate, seconds := opened(n)
	size := min(n, roomSize)
	s, c, err := t.k6(ctx, `import { WebSocket } from 'k6/websockets';
import { setTimeout, setInterval, clearInterval } from 'k6/timers';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
`, fmt.Sprintf(`{ executor: 'per-vu-iterations', vus: %d, iterations: 1, maxDuration: '2m' }`, n), fmt.Sprintf(`
const size = %d, rooms = %d, gap = %d, rate = %d, end = %d, settle = %d;
const lag = new Trend('peers_lag'), published = new Counter('peers_published');
const pad = 'x'.repeat(%d);
export default function () {
	const id = exec.vu.idInTest - 1, room = Math.floor(id / size), start = exec.scenario.startTime;
	const at = (ms, f) => setTimeout(f, Math.max(0, start + ms - Date.now()));
	at(id * 1000 / rate, () => {
		const ws = new WebSocket('ws://%s%s?room=' + room);
		ws.onmessage = (e) => { lag.add(Date.now() - Number(e.data.substring(8, 27)) / 1e6); };
		at(end + settle, () => ws.close());
		if (id %% size !== 0) return;
		at((room + 1) * size * 1000 / rate + settle + room * gap / rooms, () => {
			const timer = setInterval(() => {
				if (Date.now() > start + end) return clearInterval(timer);
				ws.send('{"sent":' + Date.now() + '000000,"pad":"' + pad + '"}');
				published.add(1);
			}, gap);
		});
	});
}
`, size, n/size, 1000/roomRate, rate, int(seconds*1000)+int((settle+*hold).Milliseconds()), settle.Milliseconds(),
		messageSize-len(messageHead)-messageDigits-len(messageMid)-len(messageTail), addr, wire.PathWSRelay))
	if err != nil {
		return outcome{}, err
	}
	f := s["peers_lag"]
	return messagesRead(c, f["count"], s["peers_published"]["count"], size, figures{"lag50": f["med"], "lag99": f["p(99)"]}), nil
}
