package edge

import (
	"github.com/prometheus/client_golang/prometheus"
)

// workerCollector shows Server.Stats as metrics.
type workerCollector struct {
	server *Server

	workers, ended, requests, tasks, pending, sockets, cpu *prometheus.Desc
}

func newWorkerCollector(s *Server) *workerCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("refserver_"+name, help, append([]string{"function"}, labels...), nil)
	}
	return &workerCollector{
		server:   s,
		workers:  desc("workers", "Workers that live, by state.", "state"),
		ended:    desc("worker_events_total", "Events in the lives of workers: booted, boot_failed, retired, early_drop, killed, terminated. The reason is that of a kill.", "event", "reason"),
		requests: desc("worker_requests_total", "Requests that were killed with their worker, waited for one, were refused one, sent nothing in time, or answered too much at once.", "outcome"),
		tasks:    desc("worker_tasks_total", "Background tasks: begun, settled, lost with their worker, refused.", "outcome"),
		pending:  desc("worker_tasks_pending", "Background tasks that run."),
		sockets:  desc("worker_sockets", "Upgraded connections that are open."),
		cpu:      desc("function_cpu_seconds_total", "CPU time charged to functions."),
	}
}

// Describe sends the descriptions of the metrics.
func (c *workerCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.workers, c.ended, c.requests, c.tasks, c.pending, c.sockets, c.cpu} {
		out <- d
	}
}

// Collect sends the metrics, those of a function all from one snapshot.
func (c *workerCollector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.server.Stats() {
		count := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, append([]string{s.Function}, labels...)...)
		}
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{s.Function}, labels...)...)
		}
		states := map[string]int{booting.String(): 0, active.String(): 0, retired.String(): 0}
		for _, w := range s.Workers {
			states[w.State]++
		}
		for state, n := range states {
			gauge(c.workers, float64(n), state)
		}
		count(c.ended, float64(s.Booted), eventBooted, "")
		count(c.ended, float64(s.BootFailed), eventBootFailed, "")
		count(c.ended, float64(s.Retired), eventRetired, "")
		count(c.ended, float64(s.EarlyDropped), eventEarlyDrop, "")
		count(c.ended, float64(s.Terminated), eventTerminated, "")
		for _, reason := range []Reason{ReasonCPU, ReasonMemory, ReasonWallClock} {
			count(c.ended, float64(s.Killed[reason]), eventKilled, string(reason))
		}
		count(c.requests, float64(s.RequestsKilled), "killed")
		count(c.requests, float64(s.RequestsWaited), "waited")
		count(c.requests, float64(s.RequestsRefused), "refused")
		count(c.requests, float64(s.IdleTimeouts), "idle_timeout")
		count(c.requests, float64(s.TooBig), "too_big")
		count(c.tasks, float64(s.TasksBegun), "begun")
		count(c.tasks, float64(s.TasksSettled), "settled")
		count(c.tasks, float64(s.TasksLost), "lost")
		count(c.tasks, float64(s.TasksRefused), "refused")
		gauge(c.pending, float64(s.TasksPending))
		gauge(c.sockets, float64(s.SocketsNow))
		count(c.cpu, s.CPUSeconds)
	}
}
