package metrics

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	vm "github.com/VictoriaMetrics/metrics"
)

// latencyBuckets are seconds from 0.25 ms to about 33 s.
var latencyBuckets = vm.ExponentialBuckets(0.00025, 2, 18)

// family is all metrics of one name: a member for each combination of values of
// its labels. It may be used from any goroutine.
type family[M any] struct {
	heading
	labels  []string
	set     *vm.Set
	create  func(set *vm.Set, name string) M
	members sync.Map // label values with NUL between them -> M
}

func counters(name, help string, labels ...string) *family[*vm.Counter] {
	return &family[*vm.Counter]{
		heading: heading{name, help, "counter"}, labels: labels, set: vm.NewSet(), create: (*vm.Set).GetOrCreateCounter,
	}
}

func histograms(name, help string, labels ...string) *family[*vm.PrometheusHistogram] {
	return &family[*vm.PrometheusHistogram]{
		heading: heading{name, help, "histogram"}, labels: labels, set: vm.NewSet(),
		create: func(set *vm.Set, name string) *vm.PrometheusHistogram {
			return set.GetOrCreatePrometheusHistogramExt(name, latencyBuckets)
		},
	}
}

// with returns the member with these values of the family's labels, in their order.
func (f *family[M]) with(values ...string) M {
	key := values[0]
	if len(values) > 1 {
		key = strings.Join(values, "\x00")
	}
	if m, ok := f.members.Load(key); ok {
		return m.(M)
	}
	m, _ := f.members.LoadOrStore(key, f.create(f.set, f.full(values)))
	return m.(M)
}

// full is the name of the member with these values, as it is scraped.
func (f *family[M]) full(values []string) string {
	return "millrace_" + f.name + labelled(f.labels, values)
}

// forget drops the members that have the value of label.
func (f *family[M]) forget(label, value string) {
	at := slices.Index(f.labels, label)
	f.members.Range(func(key, _ any) bool {
		if values := strings.Split(key.(string), "\x00"); at >= 0 && values[at] == value {
			f.members.Delete(key)
			f.set.UnregisterMetric(f.full(values))
		}
		return true
	})
}

func (f *family[M]) writeTo(w io.Writer) {
	f.heading.writeTo(w)
	f.set.WritePrometheus(w)
}

// heading is what comes before the samples of a family in Prometheus' text format
// 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
type heading struct{ name, help, kind string }

func (h heading) writeTo(w io.Writer) {
	fmt.Fprintf(w, "# HELP millrace_%s %s\n# TYPE millrace_%[1]s %[3]s\n", h.name, h.help, h.kind)
}

// gauge writes one sample of h.
func (h heading) gauge(w io.Writer, value float64, labels string) {
	vm.WriteGaugeFloat64(w, "millrace_"+h.name+labels, value)
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labelled returns {name="value",…}.
func labelled(names, values []string) string {
	pairs := make([]string, len(names))
	for i, name := range names {
		pairs[i] = name + `="` + escape.Replace(values[i]) + `"`
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

var (
	logBytes        = heading{"log_bytes", "Bytes that the pipeline's streams hold in Redis.", "gauge"}
	logMaxBytes     = heading{"log_max_bytes", "Bytes at which ingest stops.", "gauge"}
	logHoursLeft    = heading{"log_hours_left", "Hours until the log is full at the present rate.", "gauge"}
	deadLetters     = heading{"dead_letter_stream_events", "Dead letters kept.", "gauge"}
	deadLetterBytes = heading{"dead_letter_stream_bytes", "Bytes of dead letters kept.", "gauge"}
	deadLetterAlarm = heading{"dead_letter_stream_alarm", "1 if dead letters take more bytes than dead_letter_alarm.", "gauge"}
	deadLettersCut  = heading{"dead_letters_cut_total", "Dead letters above 16 MiB, stored with the first 64 KiB of their content.", "counter"}
	lagEvents       = heading{"lag_events", "Events between a reader and its lane's head.", "gauge"}
	lagSeconds      = heading{"lag_seconds", "Age of the oldest entry that a reader has not passed.", "gauge"}
)

func (s LogStats) writeTo(w io.Writer) {
	single := func(h heading, v float64) {
		h.writeTo(w)
		h.gauge(w, v, "")
	}
	single(logBytes, float64(s.Bytes))
	single(logMaxBytes, float64(s.MaxBytes))
	single(logHoursLeft, s.HoursLeft)
	single(deadLetters, float64(s.DeadLetters))
	single(deadLetterBytes, float64(s.DeadLetterBytes))
	single(deadLetterAlarm, map[bool]float64{true: 1}[s.DeadLetterAlarm])
	single(deadLettersCut, float64(s.DeadLettersCut))
	lagEvents.writeTo(w)
	for _, r := range s.Readers {
		lagEvents.gauge(w, float64(r.Events), r.labels())
	}
	lagSeconds.writeTo(w)
	for _, r := range s.Readers {
		lagSeconds.gauge(w, r.Seconds, r.labels())
	}
}

func (r ReaderLag) labels() string {
	return labelled([]string{"lane", "reader", "stream"}, []string{strconv.Itoa(r.Lane), r.Reader, r.Stream})
}
