package edge

import (
	"github.com/prometheus/client_golang/prometheus"
)

// unknownFunction is the label of requests for a name that is not served, so
// that callers cannot make labels.
const unknownFunction = "(unknown)"

// metrics counts requests to functions.
type metrics struct {
	requests *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
	duration *prometheus.HistogramVec
	aborted  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refserver_function_requests_total",
			Help: "Requests to functions that ended, by function and status code.",
		}, []string{"function", "code"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "refserver_function_requests_in_flight",
			Help: "Requests that a function is answering, and sockets that are open.",
		}, []string{"function"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "refserver_function_duration_seconds",
			Help:    "From a request's entry to the function's return; for a stream that is its end, for a socket its close.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 20),
		}, []string{"function"}),
		aborted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refserver_function_aborted_total",
			Help: "Requests whose client left before the function had answered.",
		}, []string{"function"}),
	}
	registry.MustRegister(m.requests, m.inFlight, m.duration, m.aborted)
	return m
}

// functionMetrics is metrics with one function's label.
type functionMetrics struct {
	requests *prometheus.CounterVec // still to be labelled with the code
	inFlight prometheus.Gauge
	duration prometheus.Observer
	aborted  prometheus.Counter
}

func (m *metrics) of(name string) functionMetrics {
	return functionMetrics{
		requests: m.requests, inFlight: m.inFlight.WithLabelValues(name),
		duration: m.duration.WithLabelValues(name), aborted: m.aborted.WithLabelValues(name),
	}
}
