package driver

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// arrive has d do a to its end and answers whether its work was done.
func arrive(ctx context.Context, d engine.Driver, a engine.Arrival, rec *engine.Recorder) bool {
	done := make(chan bool, 1)
	d.Do(ctx, a, rec, func(ok bool) { done <- ok })
	return <-done
}
