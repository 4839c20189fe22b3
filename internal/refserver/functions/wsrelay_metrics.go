package functions

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

// relayMetric is one number of relay.Stats as Prometheus shows it.
type relayMetric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  func(*relay.Stats) float64
	labels []string // values
}

// relayMetrics lists what Collect sends.
func relayMetrics() []relayMetric {
	var all []relayMetric
	add := func(kind prometheus.ValueType, name, help string, value func(*relay.Stats) float64) {
		all = append(all, relayMetric{prometheus.NewDesc("refserver_relay_"+name, help, nil, nil), kind, value, nil})
	}
	add(prometheus.GaugeValue, "rooms", "Rooms with at least one peer.",
		func(s *relay.Stats) float64 { return float64(s.Rooms) })
	add(prometheus.GaugeValue, "peers", "Peers in all rooms.",
		func(s *relay.Stats) float64 { return float64(s.Peers) })
	add(prometheus.GaugeValue, "deliveries_pending", "Deliveries queued or being written.",
		func(s *relay.Stats) float64 { return float64(s.Pending) })
	add(prometheus.CounterValue, "messages_received_total", "Messages read from peers.",
		func(s *relay.Stats) float64 { return float64(s.Received) })
	add(prometheus.CounterValue, "received_bytes_total", "Payload bytes read from peers.",
		func(s *relay.Stats) float64 { return float64(s.ReceivedBytes) })
	add(prometheus.CounterValue, "deliveries_owed_total", "Deliveries owed: for each message, the others in its whole room. Equal to offered, split and lost in gaps together.",
		func(s *relay.Stats) float64 { return float64(s.RoomOwed) })
	add(prometheus.CounterValue, "deliveries_split_total", "Deliveries missed because the receiver is in another worker than the sender.",
		func(s *relay.Stats) float64 { return float64(s.Split) })
	add(prometheus.CounterValue, "deliveries_offered_total", "Deliveries owed to those a message has reached. Equal to written, dropped and pending together.",
		func(s *relay.Stats) float64 { return float64(s.Offered) })
	add(prometheus.CounterValue, "deliveries_written_total", "Deliveries handed to the receiver's socket.",
		func(s *relay.Stats) float64 { return float64(s.Written) })
	add(prometheus.CounterValue, "written_bytes_total", "Payload bytes handed to receivers' sockets.",
		func(s *relay.Stats) float64 { return float64(s.WrittenBytes) })

	add(prometheus.GaugeValue, "broker_connected", "1 while the broker is there, for publishing and for receiving. Always 0 with the memory broker, as all that follow.",
		func(s *relay.Stats) float64 {
			if s.Broker.Connected {
				return 1
			}
			return 0
		})
	add(prometheus.GaugeValue, "broker_subscriptions", "Channels subscribed to, one a room.",
		func(s *relay.Stats) float64 { return float64(s.Broker.Subscriptions) })
	add(prometheus.CounterValue, "broker_published_total", "Messages the broker took.",
		func(s *relay.Stats) float64 { return float64(s.Broker.Published) })
	add(prometheus.CounterValue, "broker_publish_failed_total", "Messages lost on the way to the broker: away, or the queue full.",
		func(s *relay.Stats) float64 { return float64(s.Broker.PublishFailed) })
	add(prometheus.CounterValue, "broker_received_total", "Messages from the broker for a room with members here.",
		func(s *relay.Stats) float64 { return float64(s.Broker.Received) })
	add(prometheus.CounterValue, "broker_invalid_total", "Messages on a room's channel that no relay of this version has sent.",
		func(s *relay.Stats) float64 { return float64(s.Broker.Invalid) })
	add(prometheus.CounterValue, "broker_gap_messages_total", "Messages that members here have missed.",
		func(s *relay.Stats) float64 { return float64(s.Broker.GapMessages) })
	add(prometheus.CounterValue, "broker_gap_deliveries_total", "Deliveries missed: for each such message, the members here but the sender.",
		func(s *relay.Stats) float64 { return float64(s.Broker.GapDeliveries) })
	add(prometheus.CounterValue, "broker_reconnects_total", "How often the subscribing connection was made again.",
		func(s *relay.Stats) float64 { return float64(s.Broker.Reconnects) })

	labelled := func(name, help, label string, values map[string]func(*relay.Stats) uint64) {
		desc := prometheus.NewDesc("refserver_relay_"+name, help, []string{label}, nil)
		for text, value := range values {
			count := func(s *relay.Stats) float64 { return float64(value(s)) }
			all = append(all, relayMetric{desc, prometheus.CounterValue, count, []string{text}})
		}
	}
	labelled("deliveries_dropped_total", "Deliveries dropped: the oldest of a full queue, those to a peer closed as slow, those to a peer that left.", "rule",
		map[string]func(*relay.Stats) uint64{
			"drop-oldest": func(s *relay.Stats) uint64 { return s.DroppedOldest },
			"close":       func(s *relay.Stats) uint64 { return s.DroppedSlow },
			"left":        func(s *relay.Stats) uint64 { return s.DroppedLeft },
		})
	labelled("peers_closed_total", "Peers the relay closed: a full queue (1013), a write that took too long, silence (1008), a message too big (1009), text that is not UTF-8 (1007).", "reason",
		map[string]func(*relay.Stats) uint64{
			"slow":    func(s *relay.Stats) uint64 { return s.SlowClosed },
			"stalled": func(s *relay.Stats) uint64 { return s.StalledClosed },
			"idle":    func(s *relay.Stats) uint64 { return s.IdleClosed },
			"too-big": func(s *relay.Stats) uint64 { return s.TooBigClosed },
			"invalid": func(s *relay.Stats) uint64 { return s.InvalidClosed },
		})
	return all
}

// Describe sends the descriptions of the relay's metrics.
func (f *WSRelay) Describe(out chan<- *prometheus.Desc) {
	for _, m := range f.metrics {
		out <- m.desc
	}
}

// Collect sends the relay's metrics, all from one snapshot.
func (f *WSRelay) Collect(out chan<- prometheus.Metric) {
	stats := f.relay.Stats()
	for _, m := range f.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&stats), m.labels...)
	}
}
