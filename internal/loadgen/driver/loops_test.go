package driver

import (
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

func TestLoops(t *testing.T) {
	transport := func(t *testing.T, clock engine.Clock) transport {
		d := newDialer(patience, tlsConfig(true))
		t.Cleanup(d.close)
		onLoops, err := newLoops(clock, d.open1, destination{keep: 1000, gather: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return onLoops
	}
	t.Run("plain", func(t *testing.T) { testTransport(t, openTransport{make: transport}) })
	t.Run("tls", func(t *testing.T) { testTransport(t, openTransport{make: transport, tls: certified(t)}) })
}
