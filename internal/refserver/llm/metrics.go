package llm

import "github.com/prometheus/client_golang/prometheus"

// descriptions are the metrics of a simulator.
type descriptions struct {
	requests, faults, inFlight, tokens, lateness *prometheus.Desc
}

func newDescriptions() descriptions {
	return descriptions{
		requests: prometheus.NewDesc("refserver_llm_requests_total",
			"Requests to the upstream simulator that ended, by outcome.", []string{"outcome"}, nil),
		faults: prometheus.NewDesc("refserver_llm_faults_total",
			"Faults that the upstream simulator gave, by kind.", []string{"kind"}, nil),
		inFlight: prometheus.NewDesc("refserver_llm_requests_in_flight",
			"Requests that the upstream simulator is answering.", nil, nil),
		tokens: prometheus.NewDesc("refserver_llm_tokens_total",
			"Output tokens sent by the upstream simulator, reasoning included.", nil, nil),
		lateness: prometheus.NewDesc("refserver_llm_send_lateness_seconds",
			"Instant in a token event's stamp minus the instant it was due.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *Simulator) Describe(ch chan<- *prometheus.Desc) {
	d := s.descriptions
	for _, desc := range []*prometheus.Desc{d.requests, d.faults, d.inFlight, d.tokens, d.lateness} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector: what Stats has, and the lateness of
// every token event.
func (s *Simulator) Collect(ch chan<- prometheus.Metric) {
	stats, d := s.Stats(), s.descriptions
	for _, o := range outcomes {
		ch <- prometheus.MustNewConstMetric(d.requests, prometheus.CounterValue, float64(stats.Requests[o]), string(o))
	}
	for _, k := range faultKinds {
		ch <- prometheus.MustNewConstMetric(d.faults, prometheus.CounterValue, float64(stats.Given[k]), string(k))
	}
	ch <- prometheus.MustNewConstMetric(d.inFlight, prometheus.GaugeValue, float64(stats.InFlight))
	ch <- prometheus.MustNewConstMetric(d.tokens, prometheus.CounterValue, float64(stats.Tokens))
	ch <- s.counts.lateness(d.lateness)
}
