package driver

import (
	"context"
	"sync"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// connectMetrics is where a driver records the set-up of its connections.
type connectMetrics struct {
	connections, wait, dns, dial, tls engine.MetricID
}

// A connectionLog makes the contexts whose connections are recorded. There are
// few recorders, and a run has one context, so there are few to make.
type connectionLog struct {
	connectMetrics
	known sync.Map // *engine.Recorder → *loggingContext
}

// A loggingContext is a context whose connections are recorded, and what it was
// made of.
type loggingContext struct {
	context.Context
	parent context.Context
}

// context returns ctx with the set-up of connections recorded on rec.
func (l *connectionLog) context(ctx context.Context, rec *engine.Recorder) context.Context {
	if known, ok := l.known.Load(rec); ok {
		if c, ok := known.(*loggingContext); ok && c.parent == ctx {
			return c
		}
	}
	c := &loggingContext{parent: ctx, Context: withConnectTimes(ctx, func(t connectTimes) {
		rec.Add(l.connections, 1)
		rec.Record(l.wait, int64(t.Wait))
		rec.Record(l.dial, int64(t.Dial))
		if t.DNS > 0 {
			rec.Record(l.dns, int64(t.DNS))
		}
		if t.TLS > 0 {
			rec.Record(l.tls, int64(t.TLS))
		}
	})}
	l.known.Store(rec, c)
	return c
}
