package status

// Rate is how many events a node takes in and hands on a second.
type Rate struct {
	In  float64 `json:"in_per_second"`
	Out float64 `json:"out_per_second"`
}

// Rates computes every counted node's rate between two answers, by node id, from
// their totals and the engine's own clock. There are none if one answer is missing,
// no time lies between them, or the engine was started anew meanwhile.
func Rates(before, after *Status) map[string]Rate {
	rates := map[string]Rate{}
	if before == nil || after == nil || !before.Started.Equal(after.Started) || after.Uptime <= before.Uptime {
		return rates
	}
	seconds := after.Uptime - before.Uptime
	old := map[string]Node{}
	for _, n := range before.Nodes {
		old[n.ID] = n
	}
	for _, n := range after.Nodes {
		if was := old[n.ID]; n.Totals != nil && was.Totals != nil {
			rates[n.ID] = Rate{grown(was.In, n.In) / seconds, grown(was.Out, n.Out) / seconds}
		}
	}
	return rates
}

func grown(before, after uint64) float64 { return float64(after) - float64(before) }
