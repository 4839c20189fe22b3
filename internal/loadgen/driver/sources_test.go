package driver

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// sourced is a workload whose connections come from ranges.
func sourced(t *testing.T, ranges ...string) *scenario.Workload {
	t.Helper()
	w := &scenario.Workload{}
	for _, text := range ranges {
		r, err := scenario.ParseSourceRange(text)
		if err != nil {
			t.Fatal(err)
		}
		w.Source = append(w.Source, r)
	}
	return w
}

// peersOf takes connections until t ends and tells where each came from.
func peersOf(t *testing.T) (addr string, peers <-chan netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan netip.AddrPort, 100)
	var taking sync.WaitGroup
	taking.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			seen <- netip.MustParseAddrPort(c.RemoteAddr().String())
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		taking.Wait()
	})
	return l.Addr().String(), seen
}

func TestConnectionsComeFromTheSourcesInTurn(t *testing.T) {
	addr, peers := peersOf(t)
	d := dialerFor(sourced(t, "127.0.0.9", "127.0.0.16/31"), time.Second)
	defer d.close()
	var got []string
	for range 7 {
		if _, err := d.dial(t.Context(), "tcp", addr); err != nil {
			t.Fatal(err)
		}
		got = append(got, (<-peers).Addr().String())
	}
	want := []string{"127.0.0.9", "127.0.0.16", "127.0.0.17", "127.0.0.9", "127.0.0.16", "127.0.0.17", "127.0.0.9"}
	if !slices.Equal(got, want) {
		t.Errorf("connections came from %v, want %v", got, want)
	}
}

func TestWithoutSourcesTheSystemChooses(t *testing.T) {
	addr, peers := peersOf(t)
	d := dialerFor(sourced(t), time.Second)
	defer d.close()
	if _, err := d.dial(t.Context(), "tcp", addr); err != nil {
		t.Fatal(err)
	}
	if from := (<-peers).Addr().String(); from != "127.0.0.1" {
		t.Errorf("came from %s", from)
	}
}

// A connection says how long it waited for its turn.
func TestDialTellsOfItsWait(t *testing.T) {
	addr, _ := peersOf(t)
	w := sourced(t)
	w.Connect = scenario.Connect{Rate: 20, AtOnce: 1}
	d := dialerFor(w, time.Second)
	defer d.close()
	ctx, times := collectTimes(t.Context())
	for range 2 {
		if _, err := d.dial(ctx, "tcp", addr); err != nil {
			t.Fatal(err)
		}
	}
	got := times()
	if len(got) != 2 || got[0].Wait > 20*time.Millisecond || got[1].Wait < 30*time.Millisecond || got[1].Dial > got[1].Wait {
		t.Errorf("%+v, want a second that waited some 50 ms before it was dialled", got)
	}
	brief, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.dial(brief, "tcp", addr); classOf(err) != classTimeout {
		t.Errorf("a wait beyond the time there is: %v", err)
	}
}

func TestLocalAddress(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1": true, "203.0.113.7": false, "2001:db8::1": false} {
		if got := LocalAddress(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
