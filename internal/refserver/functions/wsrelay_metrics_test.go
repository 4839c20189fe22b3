package functions

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

func TestRelayMetrics(t *testing.T) {
	s := newRelay(t, relay.Options{})
	a, b := s.dial(t, "r"), s.dial(t, "r")
	send(t, a, websocket.TextMessage, []byte("four"))
	expect(t, b, websocket.TextMessage, []byte("four"))
	await(t, "the delivery to be counted", func() bool { return s.Stats().Written == 1 })
	resp, err := http.Get(s.page())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"refserver_relay_rooms 1", "refserver_relay_peers 2",
		"refserver_relay_messages_received_total 1", "refserver_relay_received_bytes_total 4",
		"refserver_relay_deliveries_owed_total 1", "refserver_relay_deliveries_split_total 0", "refserver_relay_broker_connected 0",
		"refserver_relay_deliveries_offered_total 1", "refserver_relay_deliveries_written_total 1",
		"refserver_relay_written_bytes_total 4", "refserver_relay_deliveries_pending 0",
		`refserver_relay_deliveries_dropped_total{rule="drop-oldest"} 0`,
		`refserver_relay_deliveries_dropped_total{rule="close"} 0`,
		`refserver_relay_deliveries_dropped_total{rule="left"} 0`,
		`refserver_relay_peers_closed_total{reason="slow"} 0`,
	} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("metrics lack %q", line)
		}
	}
}
