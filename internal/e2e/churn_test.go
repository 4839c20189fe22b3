package e2e_test

import (
	"fmt"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

const churnYAML = `
version: 1
name: churn
target: %s
duration: 6s
workloads:
  rooms:
    protocol: websocket
    load: {users: 200}
    room:
      path: /functions/v1/ws-relay?room={{ .Room }}
      members: 20
      publishers: 2
      publish: 20/s
      ping: 1s
      churn: {stay: 'uniform:200ms,2s', away: 100ms, share: 50%%}
      storm: {at: 3s, share: 80%%}
thresholds:
  rooms.delivery_ratio: ['value == 1']
  rooms.unexpected: ['count == 0']
  rooms.storm_away: ['count == 0']
  rooms.storm_recovery: ['max < 2s']
`

// Members come and go, and four fifths are cut off at one instant: nothing that was
// expected is lost, and the relay's own books say the same. Without a warm-up all of
// a run counts on both sides.
func TestChurnAndStormAgainstTheRelaysBooks(t *testing.T) {
	s := startServer(t)
	run := loadgen(t, fmt.Sprintf(churnYAML, s.URL), nil)
	for range 2 { // on a busy machine; the books are to hold this run alone
		if run.Result != nil && run.Result.Validity.State != result.Invalid {
			break
		}
		s = startServer(t)
		run = loadgen(t, fmt.Sprintf(churnYAML, s.URL), nil)
	}
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(t, run.Result)
	w := run.workload(t, "rooms")
	value := func(name string) float64 { return metric(t, w, name).Value }
	for name, want := range map[string]float64{
		"lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0, "foreign": 0, "storm_away": 0,
		"storm_back": value("storm_cut"), "connect_failed": 0, "connections_lost": 0, "pongs_missed": 0,
	} {
		if got := value(name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if n := value("storm_cut"); n < 130 || n > 160 {
		t.Errorf("the storm cut %v of 200, some of whom were away", n)
	}
	if n := value("leaves"); n < 300 {
		t.Errorf("%v leaves", n)
	}

	relay := func(name string) float64 { return counter(t, get(t, s.URL+"/metrics"), "refserver_relay_"+name) }
	if had := relay("messages_received_total"); had != value("published") {
		t.Fatalf("the relay had %v messages, %v were published: it has served another attempt, or lost some", had, value("published"))
	}
	got := value("received") + value("undecided")
	written, dropped := relay("deliveries_written_total"), relay("deliveries_dropped_total")
	if owed := relay("deliveries_owed_total"); owed != relay("deliveries_offered_total") || owed != written+dropped {
		t.Errorf("the relay owed %v, wrote %v and dropped %v", owed, written, dropped)
	}
	t.Logf("published %v, received %v, undecided %v, storm_missed %v; the relay wrote %v and dropped %v",
		value("published"), value("received"), value("undecided"), value("storm_missed"), written, dropped)
	// What it wrote to a connection at the instant it was cut, nobody has read.
	if written < got || written-got > 2*value("storm_cut") {
		t.Errorf("the relay wrote %v deliveries, %v arrived", written, got)
	}
}
