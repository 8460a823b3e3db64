package metrics

import "io"

// QueueStats is what is known of a queue that a source follows.
type QueueStats struct {
	Source          string
	Leader, Replica string // nodes; "" while unknown
	Known           bool   // Synchronised has been told
	Synchronised    bool
	Promotions      uint64
	Redelivered     uint64
	Missing         uint64
}

// WatchQueues serves the figures of followed queues, asked for at each scrape; stats
// must not block.
func (r *Recorder) WatchQueues(stats func() []QueueStats) { r.queues.Store(&stats) }

var (
	queueSynchronised = heading{"queue_synchronised", "1 if the queue's replica has all messages; absent while nobody tells.", "gauge"}
	queuePromotions   = heading{"queue_promotions_total", "Changes of the queue's leader that were seen.", "counter"}
	queueRedelivered  = heading{"queue_redelivered_total", "Messages that the broker marked as delivered before.", "counter"}
	queueMissing      = heading{"queue_missing_messages", "Numbers of the producers' sequences that have not come.", "gauge"}
)

// writeQueues writes nothing where no queue is followed.
func writeQueues(w io.Writer, queues []QueueStats) {
	if len(queues) == 0 {
		return
	}
	queueSynchronised.writeTo(w)
	for _, q := range queues {
		if q.Known {
			labels := labelled([]string{"leader", "replica", "source"}, []string{q.Leader, q.Replica, q.Source})
			queueSynchronised.gauge(w, map[bool]float64{true: 1}[q.Synchronised], labels)
		}
	}
	for _, family := range []struct {
		heading
		value func(QueueStats) uint64
	}{
		{queuePromotions, func(q QueueStats) uint64 { return q.Promotions }},
		{queueRedelivered, func(q QueueStats) uint64 { return q.Redelivered }},
		{queueMissing, func(q QueueStats) uint64 { return q.Missing }},
	} {
		family.writeTo(w)
		for _, q := range queues {
			family.gauge(w, float64(family.value(q)), labelled([]string{"source"}, []string{q.Source}))
		}
	}
}
