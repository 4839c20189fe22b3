package llm

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of a request, as the label of refserver_llm_requests_total.
const (
	outcomeComplete = "complete"
	outcomeAborted  = "aborted" // the client left
	outcomeError    = "error"   // answered with an error status
)

// metrics is what the simulator says about itself.
type metrics struct {
	requests *prometheus.CounterVec
	inFlight prometheus.Gauge
	tokens   prometheus.Counter
	lateness prometheus.Histogram
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refserver_llm_requests_total",
			Help: "Requests to the upstream simulator by outcome: complete, aborted (the client left), error.",
		}, []string{"outcome"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "refserver_llm_requests_in_flight",
			Help: "Requests that the upstream simulator is answering.",
		}),
		tokens: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "refserver_llm_tokens_total",
			Help: "Output tokens sent by the upstream simulator.",
		}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "refserver_llm_send_lateness_seconds",
			Help: "Instant in a token event's stamp minus the instant it was due.",
			Buckets: []float64{
				50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 200e-3, 500e-3, 1, 2, 5,
			},
		}),
	}
}

// sent records one chunk.
func (m *metrics) sent(tokens int, late time.Duration) {
	m.tokens.Add(float64(tokens))
	m.lateness.Observe(late.Seconds())
}

// Describe implements prometheus.Collector.
func (s *Simulator) Describe(ch chan<- *prometheus.Desc) {
	s.metrics.requests.Describe(ch)
	s.metrics.inFlight.Describe(ch)
	s.metrics.tokens.Describe(ch)
	s.metrics.lateness.Describe(ch)
}

// Collect implements prometheus.Collector: requests by outcome, in flight,
// tokens, and the lateness of every token event.
func (s *Simulator) Collect(ch chan<- prometheus.Metric) {
	s.metrics.requests.Collect(ch)
	s.metrics.inFlight.Collect(ch)
	s.metrics.tokens.Collect(ch)
	s.metrics.lateness.Collect(ch)
}
