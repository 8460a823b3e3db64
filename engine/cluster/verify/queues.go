package verify

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/topology"
)

const applyLine = "engine cluster apply"

func (j *judge) policies() {
	if j.blind("policies") {
		return
	}
	j.eachQueue(func(q *topology.Queue, seen *management.Queue) {
		want := map[string]any{}
		name := ""
		if p := j.t.PolicyOf(q.Name); p != nil {
			want, name = p.Definition, p.Name
		}
		switch {
		case seen.Effective == nil && seen.State == "":
			// it has told nothing yet: the finding of states
		case seen.Effective == nil:
			j.bad(q.Name, "tells the policy in effect", "not told", "rabbitmqctl list_queues name policy effective_policy_definition")
		case !equal(want, seen.Effective):
			j.bad(q.Name, text(want), text(seen.Effective)+" by policy "+or(seen.Policy, "none"), mendPolicy(name, seen.Policy))
		}
	})
}

func mendPolicy(planned, seen string) string {
	if seen != "" && seen != planned {
		return "rabbitmqctl clear_policy " + seen + ", then " + applyLine
	}
	return applyLine
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func text(def map[string]any) string {
	if len(def) == 0 {
		return "no policy"
	}
	b, err := json.Marshal(def)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// equal compares a planned definition with one that was read as JSON.
func equal(planned map[string]any, seen management.Table) bool {
	var back map[string]any
	b, err := json.Marshal(planned)
	return err == nil && json.Unmarshal(b, &back) == nil && reflect.DeepEqual(back, map[string]any(seen))
}

func (j *judge) oldKeys() {
	if !topology.VersionAtLeast(j.server(), 4, 0) {
		j.note("before RabbitMQ 4.0 they have an effect")
		return
	}
	if j.blind("policies") || j.blind("operator policies") {
		return
	}
	for _, p := range slices.Concat(j.s.Shared.Policies, j.s.Shared.Operator) {
		for key := range p.Definition {
			if strings.HasPrefix(key, "ha-") {
				j.bad("policy "+p.Name, "no "+key, "set, and ignored without a word: its queues have no copies", "quorum queues; then rabbitmqctl clear_policy "+p.Name)
			}
		}
	}
}

func (j *judge) leaders() {
	j.eachQueue(func(q *topology.Queue, seen *management.Queue) {
		if want := j.t.Erlang(q.Owner); seen.LeaderNode() != want {
			j.bad(q.Name, "led by "+want, or(seen.LeaderNode(), "DOWN: no leader"), "3-queues of "+j.t.Replica().Name+" (engine cluster plan --scripts)")
		}
	})
}

func (j *judge) copies() {
	j.eachQueue(func(q *topology.Queue, seen *management.Queue) {
		want := j.t.Copies(q)
		if j.t.Profile == topology.Mirrored {
			j.mirrors(q, seen, want)
			return
		}
		j.members(q, seen, want)
	})
}

func (j *judge) mirrors(q *topology.Queue, seen *management.Queue, want []string) {
	leader := seen.LeaderNode()
	for _, node := range want {
		switch {
		case node == leader:
		case seen.Mirrors == nil || !slices.Contains(*seen.Mirrors, node):
			j.bad(q.Name, "a mirror on "+node, "mirrors: "+list(seen.Mirrors), applyLine)
		case seen.Synced == nil || !slices.Contains(*seen.Synced, node):
			j.bad(q.Name, "synchronised on "+node, "synchronised: "+list(seen.Synced), "rabbitmqctl sync_queue "+q.Name)
		}
	}
}

func list(names *[]string) string {
	if names == nil {
		return "not told"
	}
	return or(strings.Join(*names, ", "), "none")
}

func (j *judge) members(q *topology.Queue, seen *management.Queue, want []string) {
	mend := "3-queues of " + j.t.Replica().Name + " (engine cluster plan --scripts)"
	for _, node := range want {
		switch {
		case seen.Members == nil || !slices.Contains(*seen.Members, node):
			j.bad(q.Name, "a member on "+node, "members: "+list(seen.Members), mend)
		case seen.Online == nil || !slices.Contains(*seen.Online, node):
			j.bad(q.Name, "online on "+node, "DOWN; online: "+list(seen.Online), "start RabbitMQ on "+node)
		}
	}
	if seen.Members == nil {
		return
	}
	for _, node := range *seen.Members {
		if !slices.Contains(want, node) {
			j.bad(q.Name, "members "+strings.Join(want, ", "), "a member on "+node, mend)
		}
	}
}

func (j *judge) promotion() {
	if j.t.Profile != topology.Mirrored {
		j.note("quorum queues elect only complete members")
		return
	}
	j.eachQueue(func(q *topology.Queue, seen *management.Queue) {
		for _, key := range []string{"ha-promote-on-failure", "ha-promote-on-shutdown"} {
			if seen.Effective[key] != "when-synced" {
				j.bad(q.Name, key+": when-synced", fmt.Sprint(orNil(seen.Effective[key])), applyLine+"; a mirror that lacks messages would drop them for good")
			}
		}
	})
}

func orNil(v any) any {
	if v == nil {
		return "not set"
	}
	return v
}

func (j *judge) objects() {
	if !j.blind("queues") {
		for i := range j.t.Queues {
			j.queue(&j.t.Queues[i], j.s.Queue(j.t.Queues[i].Name))
		}
	}
	if !j.blind("exchanges") {
		for _, e := range j.t.Exchanges {
			j.exchange(e)
		}
	}
	if !j.blind("bindings") {
		for _, b := range j.t.Bindings {
			j.binding(b)
		}
	}
}

func (j *judge) queue(q *topology.Queue, seen *management.Queue) {
	const again = "engine cluster apply --yes-lose-data, once it is empty"
	switch {
	case seen == nil:
		j.bad(q.Name, "a "+j.t.Type()+" queue", "not there", applyLine)
	case seen.Type != j.t.Type():
		j.bad(q.Name, "a "+j.t.Type()+" queue", or(seen.Type, "no type told"), again)
	case seen.Durable == nil || !*seen.Durable:
		j.bad(q.Name, "durable", told(seen.Durable), again)
	case seen.AutoDelete == nil || *seen.AutoDelete:
		j.bad(q.Name, "not deleted with its last consumer", "auto_delete "+told(seen.AutoDelete), again)
	}
}

func (j *judge) exchange(e topology.Exchange) {
	i := slices.IndexFunc(j.s.Shared.Exchanges, func(x management.Exchange) bool { return x.Name == e.Name })
	if i < 0 {
		j.bad("exchange "+e.Name, e.Type+", durable", "not there", applyLine)
		return
	}
	if seen := j.s.Shared.Exchanges[i]; seen.Type != e.Type || seen.Durable == nil || !*seen.Durable {
		j.bad("exchange "+e.Name, e.Type+", durable", seen.Type+", durable "+told(seen.Durable), "engine cluster apply --yes-lose-data")
	}
}

func (j *judge) binding(b topology.Binding) {
	there := slices.ContainsFunc(j.s.Shared.Bindings, func(x management.Binding) bool {
		return x.Source == b.Exchange && x.Destination == b.Queue && x.To == "queue" && x.RoutingKey == b.RoutingKey
	})
	if !there {
		j.bad(b.Queue, "bound to "+b.Exchange+" with "+b.RoutingKey, "not bound", applyLine)
	}
}

// droppers are settings by which a queue loses messages that nobody has read.
var droppers = []string{"message-ttl", "expires", "max-length", "max-length-bytes"}

func (j *judge) limits() {
	j.eachQueue(func(q *topology.Queue, seen *management.Queue) {
		for _, key := range droppers {
			if v := setting(seen, key); v != nil {
				j.bad(q.Name, "no "+key, fmt.Sprintf("%v: drops what nobody has read", v), "take it out of the policy or the arguments")
			}
		}
		j.deliveryLimit(q, seen)
		j.deadLetters(q, seen)
	})
}

// setting is what applies to a queue, by policy or by its own arguments.
func setting(q *management.Queue, key string) any {
	if v, ok := q.Arguments["x-"+key]; ok {
		return v
	}
	return q.Effective[key]
}

func (j *judge) deliveryLimit(q *topology.Queue, seen *management.Queue) {
	limit := setting(seen, "delivery-limit")
	off := limit == nil && !topology.VersionAtLeast(j.server(), 4, 0) || limit == float64(-1)
	switch {
	case j.t.Profile != topology.Quorum:
	case q.DeliveryLimit == 0 && !off:
		if limit == nil {
			limit = "20, the default since RabbitMQ 4.0"
		}
		j.bad(q.Name, "no delivery limit", fmt.Sprint(limit), applyLine+"; each stop of a consumer counts as a delivery of all that it had")
	case q.DeliveryLimit > 0 && limit != float64(q.DeliveryLimit):
		j.bad(q.Name, fmt.Sprintf("delivery limit %d", q.DeliveryLimit), fmt.Sprint(orNil(limit)), applyLine)
	}
}

func (j *judge) deadLetters(q *topology.Queue, seen *management.Queue) {
	want := map[string]any{}
	if q.DeadLetter != nil {
		want["dead-letter-exchange"] = q.DeadLetter.Exchange
		if j.t.Profile == topology.Quorum {
			want["dead-letter-strategy"], want["overflow"] = "at-least-once", "reject-publish"
		}
	}
	for _, key := range []string{"dead-letter-exchange", "dead-letter-strategy", "overflow"} {
		if is := setting(seen, key); is != want[key] {
			j.bad(q.Name, fmt.Sprintf("%s %v", key, orNil(want[key])), fmt.Sprint(orNil(is)), applyLine)
		}
	}
}

// alive are the states of queues that work.
var alive = []string{"running", "idle", "flow"}

func (j *judge) states() {
	if j.blind("queues") {
		return
	}
	for _, q := range j.s.Shared.Queues {
		if !slices.Contains(alive, q.State) {
			j.bad(q.Name, "running", "DOWN: "+or(q.State, "no state"), "start the nodes that hold it; rabbitmqctl list_queues --offline")
		}
	}
}
