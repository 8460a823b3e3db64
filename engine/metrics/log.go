package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// logCollector asks the log for its figures at each scrape.
type logCollector struct{ stats func() LogStats }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("millrace_"+name, help, labels, nil)
}

var (
	logBytes        = describe("log_bytes", "Bytes that the pipeline's streams hold in Redis.")
	logMaxBytes     = describe("log_max_bytes", "Bytes at which ingest stops.")
	logHoursLeft    = describe("log_hours_left", "Hours until the log is full at the present rate.")
	deadLetters     = describe("dead_letter_stream_events", "Dead letters kept.")
	deadLetterBytes = describe("dead_letter_stream_bytes", "Bytes of dead letters kept.")
	lagEvents       = describe("lag_events", "Events between a reader and its lane's head.", "reader", "stream", "lane")
	lagSeconds      = describe("lag_seconds", "Age of the oldest entry that a reader has not passed.", "reader", "stream", "lane")
)

// Describe implements prometheus.Collector.
func (logCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logBytes, logMaxBytes, logHoursLeft, deadLetters, deadLetterBytes, lagEvents, lagSeconds} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c logCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(logBytes, float64(s.Bytes))
	gauge(logMaxBytes, float64(s.MaxBytes))
	gauge(logHoursLeft, s.HoursLeft)
	gauge(deadLetters, float64(s.DeadLetters))
	gauge(deadLetterBytes, float64(s.DeadLetterBytes))
	for _, r := range s.Readers {
		lane := strconv.Itoa(r.Lane)
		gauge(lagEvents, float64(r.Events), r.Reader, r.Stream, lane)
		gauge(lagSeconds, r.Seconds, r.Reader, r.Stream, lane)
	}
}
