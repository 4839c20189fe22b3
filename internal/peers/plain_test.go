package peers_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/wire"
)

// What everyone asks for a stream, straight from the simulator.
const promptBody = `{"model":"any","max_tokens":1024,"stream":true,"messages":[{"role":"user","content":"Hello"}]}`

// Lines of an event stream that the Go clients look for.
const (
	eventPrefix = "event: "
	tokenEvent  = "content_block_delta"
)

// until waits for the instant that lies d after start.
func until(start time.Time, d time.Duration) {
	if wait := d - time.Since(start); wait > 0 {
		<-time.After(wait)
	}
}

// plainSSE is what one writes first: net/http with a goroutine and a
// bufio.Reader for each stream.
func plainSSE(o order) (report, error) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	var ttft, truth, lag tally
	var complete, events, failed atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for i := range o.N {
		until(start, time.Duration(i)*time.Second/time.Duration(o.OpenRate))
		wg.Go(func() {
			n, err := plainStream(client, "http://"+o.Addr+o.Path, &ttft, &truth, &lag)
			events.Add(n)
			if err != nil {
				failed.Add(1)
				return
			}
			complete.Add(1)
		})
	}
	wg.Wait()
	return report{
		Complete: int(complete.Load()), Events: events.Load(), Failed: failed.Load(), Elapsed: int64(time.Since(start)),
		TTFT: ttft.pair(), Truth: truth.pair(), Lag: lag.pair(),
	}, nil
}

// plainStream reads one stream to its end and returns its events.
func plainStream(client *http.Client, url string, ttft, truth, lag *tally) (events int64, err error) {
	begin := time.Now()
	resp, err := client.Post(url, "application/json", bytes.NewReader([]byte(promptBody)))
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	lines := bufio.NewReader(resp.Body)
	var sent int64
	first := true
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		line = line[:len(line)-1]
		if len(line) > 0 && line[0] == ':' {
			if at, ok := wire.ParseStamp(line[1:]); ok {
				sent = at
			}
			continue
		}
		name, ok := bytes.CutPrefix(line, []byte(eventPrefix))
		if !ok {
			continue
		}
		events++
		if string(name) != tokenEvent {
			continue
		}
		now := time.Now()
		lag.add(now.UnixNano() - sent)
		if first {
			first = false
			ttft.add(int64(now.Sub(begin)))
			truth.add(sent - begin.UnixNano())
		}
	}
}

// A room message is this long and carries its send instant, 19 digits of Unix
// nanoseconds, at a fixed place, so that reading it costs next to nothing.
const (
	messageSize   = 128
	messageHead   = `{"sent":`
	messageDigits = 19
	messageMid    = `,"pad":"`
	messageTail   = `"}`
)

func roomMessage(sent time.Time) []byte {
	b := append(make([]byte, 0, messageSize), messageHead...)
	b = strconv.AppendInt(b, sent.UnixNano(), 10)
	b = append(b, messageMid...)
	b = append(b, bytes.Repeat([]byte("x"), messageSize-len(b)-len(messageTail))...)
	return append(b, messageTail...)
}

// messageSent is the send instant within a room message, 0 for anything else.
func messageSent(b []byte) int64 {
	if len(b) < len(messageHead)+messageDigits {
		return 0
	}
	var v int64
	for _, c := range b[len(messageHead):][:messageDigits] {
		if c < '0' || c > '9' {
			return 0
		}
		v = v*10 + int64(c-'0')
	}
	return v
}

// A room is written to from when it is complete, all of them until settle and
// hold after the last is; then there is settle for what is still on its way.
const settle = 500 * time.Millisecond

// opening is how long it takes to open all of an order.
func (o order) opening() time.Duration {
	return time.Duration(o.N) * time.Second / time.Duration(o.OpenRate)
}

// writing is when the rooms are last written to.
func (o order) writing() time.Duration { return o.opening() + settle + time.Duration(o.Hold) }

// A turn is the n-th message of all rooms, which have their turns one after the
// other, evenly spread: whose it is, and when.
func (o order) turn(n int64) (room int, at time.Duration) {
	rooms := int64(o.N / o.RoomSize)
	gap := time.Second / time.Duration(int64(o.RoomRate)*rooms)
	return int(n % rooms), time.Duration(n) * gap
}

// plainWS is gorilla/websocket as its own example uses it: the default dialer,
// a goroutine for each connection, and one member of each room that writes.
func plainWS(o order) (report, error) { return gorillaWS(o, websocket.DefaultDialer) }

// smallWS is the same with what gorilla/websocket has to save memory.
func smallWS(o order) (report, error) {
	return gorillaWS(o, &websocket.Dialer{ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{}})
}

func gorillaWS(o order, dialer *websocket.Dialer) (report, error) {
	var lag tally
	var received, published, failed atomic.Int64
	conns := make([]*websocket.Conn, o.N)
	var readers, writers sync.WaitGroup
	start := time.Now()
	write := func(conn *websocket.Conn, room int) {
		for n, begin := int64(room), time.Since(start); ; n += int64(o.N / o.RoomSize) {
			_, at := o.turn(n)
			if at < begin {
				continue
			}
			if at > o.writing() {
				return
			}
			until(start, at)
			if err := conn.WriteMessage(websocket.TextMessage, roomMessage(time.Now())); err != nil {
				failed.Add(1)
				return
			}
			published.Add(1)
		}
	}
	for i := range conns {
		until(start, time.Duration(i)*time.Second/time.Duration(o.OpenRate))
		room := i / o.RoomSize
		url := fmt.Sprintf("ws://%s%s?room=%d", o.Addr, o.Path, room)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		conn, _, err := dialer.DialContext(ctx, url, nil)
		cancel()
		if err != nil {
			return report{}, fmt.Errorf("dial %s: %w", url, err)
		}
		conns[i] = conn
		readers.Go(func() {
			for {
				_, data, err := conn.ReadMessage()
				if err != nil {
					return // closed below
				}
				lag.add(time.Now().UnixNano() - messageSent(data))
				received.Add(1)
			}
		})
		if (i+1)%o.RoomSize == 0 {
			writers.Go(func() { write(conns[room*o.RoomSize], room) })
		}
	}
	writers.Wait()
	until(start, o.writing()+settle)
	for _, conn := range conns {
		_ = conn.Close() // nothing is owed any more
	}
	readers.Wait()
	return report{
		Complete: o.N, Events: received.Load(), Published: published.Load(), Failed: failed.Load(),
		Elapsed: int64(time.Since(start)), Lag: lag.pair(),
	}, nil
}

// plainHTTP is net/http: with a rate, a goroutine for each request at its due
// instant, from which its latency counts; without one, N loops.
func plainHTTP(o order) (report, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: max(o.N, o.Rate)}, Timeout: 10 * time.Second}
	var latency tally
	var requests, failed atomic.Int64
	get := func(begin time.Time) {
		resp, err := client.Get("http://" + o.Addr + o.Path)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			failed.Add(1)
			return
		}
		latency.add(int64(time.Since(begin)))
		requests.Add(1)
	}
	var wg sync.WaitGroup
	start := time.Now()
	if o.Rate > 0 {
		gap := time.Second / time.Duration(o.Rate)
		for at := time.Duration(0); at < time.Duration(o.Hold); at += gap {
			until(start, at)
			wg.Go(func() { get(start.Add(at)) })
		}
	} else {
		for range o.N {
			wg.Go(func() {
				for time.Since(start) < time.Duration(o.Hold) {
					get(time.Now())
				}
			})
		}
	}
	wg.Wait()
	return report{Requests: requests.Load(), Failed: failed.Load(), Elapsed: int64(time.Since(start)), Latency: latency.triple()}, nil
}
