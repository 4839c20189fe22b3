package relay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/rueidis"

	"github.com/edgeload/edgeload/internal/service"
)

// patience bounds every wait of these tests for something that must happen.
const patience = 20 * time.Second

// startProcess returns a Relay at a Redis server, with a log. Two of them are like two
// processes: nothing but the server is between them.
func startProcess(t testing.TB, o Options) (*Relay, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		balance(t, r.Stats())
	})
	return r, log
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// await polls until ok, or fails with what is there instead.
func await(t testing.TB, what string, ok func() bool, instead func() any) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s: %+v", patience, what, instead())
		}
	}
}

func awaitConnected(t testing.TB, all ...*Relay) {
	t.Helper()
	for _, r := range all {
		await(t, "the broker", func() bool { return r.Stats().Broker.Connected }, func() any { return r.Stats() })
	}
}

// awaitPublished waits until so many messages have been published or lost: the server's
// answer to a message may come after the message itself.
func awaitPublished(t testing.TB, r *Relay, n uint64) {
	t.Helper()
	await(t, fmt.Sprint(n, " messages, published or lost"), func() bool {
		b := r.Stats().Broker
		return b.Published+b.PublishFailed >= n
	}, func() any { return r.Stats() })
}

// do sends one command to the server.
func do(t testing.TB, url string, command ...string) string {
	t.Helper()
	o, err := rueidis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.ForceSingleClient, o.DisableCache = true, true
	client, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer := client.Do(t.Context(), client.B().Arbitrary(command...).Build())
	if err := answer.Error(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	message, err := answer.ToMessage()
	if err != nil {
		t.Fatal(err)
	}
	return message.String()
}

// house is a room of ten members in each of two workers of each of some processes.
type house struct {
	all   []*Relay
	logs  []*logBuffer
	peers []*Peer
}

func newHouse(t testing.TB, processes int, o Options) *house {
	t.Helper()
	h := new(house)
	for range processes {
		r, log := startProcess(t, o)
		h.all, h.logs = append(h.all, r), append(h.logs, log)
		for range 2 {
			hub := r.NewHub(t.Context())
			for range 10 {
				p := join(t, hub, "r")
				t.Cleanup(p.Leave)
				h.peers = append(h.peers, p)
			}
		}
	}
	return h
}

// gaps is how many deliveries the processes count as missed.
func (h *house) gaps() (n uint64) {
	for _, r := range h.all {
		n += r.Stats().Broker.GapDeliveries
	}
	return n
}

// waiting is how many messages all queues hold.
func (h *house) waiting() (n int) {
	for _, p := range h.peers {
		p.mu.Lock()
		n += p.queue.length
		p.mu.Unlock()
	}
	return n
}

// expect waits until each of so many messages has been received by or counted as
// missed for everyone but its sender, exactly.
func (h *house) expect(t testing.TB, messages int) {
	t.Helper()
	want := messages * (len(h.peers) - 1)
	sum := func() int { return h.waiting() + int(h.gaps()) }
	await(t, fmt.Sprint(want, " deliveries, received or missed"), func() bool { return sum() >= want }, func() any {
		var all []BrokerStats
		for _, r := range h.all {
			all = append(all, r.Stats().Broker)
		}
		return fmt.Sprintf("%d received, %d missed: %+v", h.waiting(), h.gaps(), all)
	})
	if got := sum(); got != want {
		t.Errorf("%d received and %d missed are %d, want %d", h.waiting(), h.gaps(), got, want)
	}
}

// publishAll has everyone publish n messages, all at once.
func (h *house) publishAll(t testing.TB, n int) {
	var all sync.WaitGroup
	for _, p := range h.peers {
		all.Go(func() {
			for range n {
				p.Publish(websocket.TextMessage, []byte("x"))
			}
		})
	}
	all.Wait()
}

func TestRedisReachesTheWholeRoom(t *testing.T) {
	server := service.StartRedis(t)
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%v", plain), func(t *testing.T) {
			h := newHouse(t, 2, Options{Broker: server.URL, Redis: RedisOptions{Plain: plain}, QueueMessages: 10_000})
			if got := strings.Contains(h.logs[0].String(), "sharded=true"); got == plain {
				t.Errorf("sharded %v: %s", got, h.logs[0])
			}
			h.publishAll(t, 50)
			h.expect(t, 40*50)
			if h.gaps() != 0 {
				t.Errorf("%d deliveries missed", h.gaps())
			}
			for _, r := range h.all {
				awaitPublished(t, r, 20*50)
				st := r.Stats()
				if st.RoomOwed != 50*(20*19+20*20) || st.Offered != st.RoomOwed || st.Split != 0 {
					t.Errorf("%+v", st)
				}
				b := st.Broker
				if b.Published != 20*50 || b.PublishFailed != 0 || b.Received != 40*50 || b.Subscriptions != 1 || b.Reconnects != 0 || b.Invalid != 0 {
					t.Errorf("%+v", b)
				}
			}
		})
	}
}

// Kind, bytes and each sender's order are kept, in the sender's process and in
// another.
func TestRedisKeepsWhatIsSent(t *testing.T) {
	server := service.StartRedis(t)
	o := Options{Broker: server.URL, QueueMessages: 20_000}
	a, _ := startProcess(t, o)
	b, _ := startProcess(t, o)
	const senders, each = 4, 1000
	here, there := join(t, a.NewHub(t.Context()), "r"), join(t, b.NewHub(t.Context()), "r")
	defer here.Leave()
	defer there.Leave()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var all sync.WaitGroup
	hub := a.NewHub(t.Context())
	for s := range senders {
		p := join(t, hub, "r")
		defer p.Leave()
		all.Go(func() {
			for i := range each {
				payload := append([]byte{byte(s), byte(i >> 8), byte(i)}, every...)
				p.Publish(websocket.TextMessage+i%2, payload)
			}
		})
	}
	all.Wait()
	for _, receiver := range []*Peer{here, there} {
		var next [senders]int
		for range senders * each {
			var m *message
			await(t, "the next message", func() bool { m = pop(receiver); return m != nil }, func() any { return a.Stats() })
			frame := frameOf(t, m)
			payload := frame[len(frame)-m.size:]
			s, i := payload[0], int(payload[1])<<8|int(payload[2])
			if i != next[s] || m.kind != websocket.TextMessage+i%2 || !bytes.Equal(payload[3:], every) {
				t.Fatalf("message %d of sender %d where %d was due: kind %d, %x", i, s, next[s], m.kind, payload)
			}
			next[s]++
		}
	}
}

func TestRedisSubscribesOnceARoom(t *testing.T) {
	server := service.StartRedis(t)
	r, _ := startProcess(t, Options{Broker: server.URL})
	hubs := []*Hub{r.NewHub(t.Context()), r.NewHub(t.Context())}
	var peers []*Peer
	for i := range 60 {
		peers = append(peers, join(t, hubs[i%2], fmt.Sprint("room ", i%3)))
	}
	if n := r.Stats().Broker.Subscriptions; n != 3 {
		t.Errorf("%d subscriptions for 3 rooms", n)
	}
	if list := do(t, server.URL, "PUBSUB", "SHARDCHANNELS", "edgeload:relay:*"); strings.Count(list, ":room:") != 3 {
		t.Errorf("the server knows %s", list)
	}
	for i, p := range peers {
		if i < 57 {
			p.Leave()
		}
	}
	if n := r.Stats().Broker.Subscriptions; n != 3 {
		t.Errorf("%d subscriptions for the last member of each of 3 rooms", n)
	}
	for _, p := range peers[57:] {
		p.Leave()
	}
	await(t, "the subscriptions to be given up", func() bool {
		return r.Stats().Broker.Subscriptions == 0 && !strings.Contains(do(t, server.URL, "PUBSUB", "SHARDCHANNELS", "*"), ":room:")
	}, func() any { return r.Stats() })
	// A room that was left and is entered again, at once, works.
	for range 50 {
		p, q := join(t, hubs[0], "room 1"), join(t, hubs[1], "room 1")
		publish(t, p, []byte("x"))
		await(t, "the message", func() bool { return pop(q) != nil }, func() any { return r.Stats() })
		p.Leave()
		q.Leave()
	}
	if b := r.Stats().Broker; b.GapMessages != 0 {
		t.Errorf("%+v", b)
	}
}

// What others publish once a member has joined reaches it.
func TestRedisJoinWaitsForTheSubscription(t *testing.T) {
	server := service.StartRedis(t)
	a, _ := startProcess(t, Options{Broker: server.URL})
	b, _ := startProcess(t, Options{Broker: server.URL})
	near, far := a.NewHub(t.Context()), b.NewHub(t.Context())
	for i := range 100 {
		room := fmt.Sprint("room ", i)
		p := join(t, near, room)
		q := join(t, far, room)
		publish(t, p, []byte("x"))
		await(t, "the message", func() bool { return pop(q) != nil }, func() any { return b.Stats() })
		p.Leave()
		q.Leave()
	}
}

// A message that no relay has sent is counted and goes nowhere.
func TestRedisForeignMessages(t *testing.T) {
	server := service.StartRedis(t)
	r, log := startProcess(t, Options{Broker: server.URL})
	p := join(t, r.NewHub(t.Context()), "kitchen")
	defer p.Leave()
	for range 3 {
		do(t, server.URL, "SPUBLISH", "edgeload:relay:room:kitchen", "hello")
	}
	await(t, "it to be counted", func() bool { return r.Stats().Broker.Invalid == 3 }, func() any { return r.Stats() })
	if m := pop(p); m != nil {
		t.Errorf("it was delivered: %+v", m)
	}
	if n := strings.Count(log.String(), "foreign message"); n != 1 {
		t.Errorf("%d log lines: %s", n, log)
	}
}

// In a cluster plain messages go to all nodes.
func TestRedisCluster(t *testing.T) {
	server := service.StartRedis(t, "--cluster-enabled", "yes")
	do(t, server.URL, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	await(t, "the cluster", func() bool { return strings.Contains(do(t, server.URL, "CLUSTER", "INFO"), "cluster_state:ok") }, func() any { return "" })
	h := newHouse(t, 2, Options{Broker: server.URL})
	h.publishAll(t, 1)
	h.expect(t, 40)
	if h.gaps() != 0 || !strings.Contains(h.logs[0].String(), "sharded=false") {
		t.Errorf("%d missed; %s", h.gaps(), h.logs[0])
	}
}

func TestRedisAccounts(t *testing.T) {
	server := service.StartRedis(t)
	do(t, server.URL, "ACL", "SETUSER", "relay", "on", ">open sesame", "resetchannels", "&edgeload:relay:*", "+ping", "+hello", "+command", "+publish", "+spublish",
		"+subscribe", "+ssubscribe", "+unsubscribe", "+sunsubscribe", "+client")
	o := Options{Broker: strings.Replace(server.URL, "redis://", "redis://relay:open%20sesame@", 1)}
	h := newHouse(t, 2, o)
	h.publishAll(t, 2)
	h.expect(t, 80)
	if h.gaps() != 0 {
		t.Errorf("%d missed: %s", h.gaps(), h.logs[0])
	}
	// With another password nothing is connected, and nobody learns which it was.
	o.Broker = strings.Replace(o.Broker, "open%20sesame", "hunter2", 1)
	r, log := startProcess(t, o)
	p := join(t, r.NewHub(t.Context()), "r") // answered, and the gap is counted
	defer p.Leave()
	publish(t, p, []byte("x"))
	await(t, "the reason in the log", func() bool { return strings.Contains(log.String(), "WRONGPASS") }, func() any { return log })
	await(t, "the loss to be counted", func() bool { return r.Stats().Broker.PublishFailed == 1 }, func() any { return r.Stats() })
	if r.Stats().Broker.Connected || strings.Contains(log.String(), "hunter2") {
		t.Errorf("%+v; %s", r.Stats().Broker, log)
	}
}

func TestBrokerURL(t *testing.T) {
	for _, good := range []string{"memory", "redis://127.0.0.1", "rediss://u:p@redis.example:6380/2?skip_verify=true"} {
		if _, err := New(Options{Broker: good}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"memcached://secret@host": "scheme", "redis://:secret@host:x": "port", "redis://:secret@h/x": "database", "://secret": "scheme",
		"redis://:secret@h?master_set=m": "sentinel", "redis://:secret@h?addr=i:1": "one server", "unix:///tmp/secret": "scheme",
		"redis://:secret%zz@h": "escape",
	} {
		_, err := New(Options{Broker: bad})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error about %s", bad, err, want)
		}
	}
}
