// Command bare is what a Go programmer writes first: a handler of net/http that
// sends an event stream by a ticker of its own. It writes and flushes what
// reference-server's stream-ai does, in as many events of the same length, and is
// what the reference server's cost is compared with.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	stamp = ": sent=1795463573035952321\n"
	delta = stamp + "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n"
)

var (
	head = []string{
		stamp + "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_0000000000000001\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-4-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":2,\"output_tokens\":0}}}\n\n",
		stamp + "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
		stamp + "event: ping\ndata: {\"type\": \"ping\"}\n\n",
	}
	foot = []string{
		stamp + "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
		stamp + "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":2,\"output_tokens\":200}}\n\n",
		stamp + "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	}
)

// stream answers with ?tokens=N events, one each ?gap=D.
func stream(w http.ResponseWriter, r *http.Request) {
	gap, gapErr := time.ParseDuration(r.URL.Query().Get("gap"))
	tokens, err := strconv.Atoi(r.URL.Query().Get("tokens"))
	flusher, ok := w.(http.Flusher)
	if gapErr != nil || err != nil || !ok {
		http.Error(w, "want ?gap=D&tokens=N", http.StatusBadRequest)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event []byte) error {
		_, err := w.Write(event)
		flusher.Flush()
		return err
	}
	ticker := time.NewTicker(gap)
	defer ticker.Stop()
	for _, event := range head {
		if send([]byte(event)) != nil {
			return
		}
	}
	event := bytes.Clone([]byte(delta))
	for range tokens {
		<-ticker.C
		if send(event) != nil {
			return
		}
	}
	for _, event := range foot {
		if send([]byte(event)) != nil {
			return
		}
	}
}

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on http://%s\n", ln.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(ln, http.HandlerFunc(stream)))
	os.Exit(1)
}
