package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// cookies compares the hashes where they are known. Where they are not, a link
// between two nodes proves equal cookies: it is not made without.
func (j *judge) cookies() {
	want, from := j.CookieHash, "the cookie file given"
	for _, n := range j.t.Nodes {
		if f := j.s.Facts[n.Name]; want == "" && f != nil && f.Err == nil {
			want, from = f.CookieHash, n.Name
		}
	}
	for _, n := range j.t.Nodes {
		f := j.s.Facts[n.Name]
		switch {
		case f != nil && f.Err == nil && f.CookieHash != want:
			j.bad(n.Name, want+" as "+from, f.CookieHash, "run 1-configure of "+n.Name+" with a copy of the cookie")
		case f != nil && f.Err == nil:
		case j.CookieHash != "":
			j.unknown(n.Name, want+" as "+from, "not told", "rabbitmq-diagnostics erlang_cookie_hash on "+n.Name+"; or verify with --ctl or --facts")
		case !j.linked(n.Erlang):
			j.unknown(n.Name, "a hash, or links to all nodes", "neither", "rabbitmq-diagnostics erlang_cookie_hash on "+n.Name)
		default:
			j.note("by the links between nodes, which need equal cookies")
		}
	}
}

// linked reports whether the node has links to all other members.
func (j *judge) linked(erlang string) bool {
	for _, n := range j.t.Nodes {
		if n.Erlang != erlang {
			continue
		}
		v := j.s.Views[n.Name]
		if v.Err != nil || v.Self(erlang) == nil || v.Self(erlang).Links == nil {
			return false
		}
		links := *v.Self(erlang).Links
		for _, other := range j.s.Members() {
			if other != erlang && !slices.ContainsFunc(links, func(l management.Link) bool { return l.Name == other }) {
				return false
			}
		}
		return true
	}
	return false
}

func (j *judge) nodes() {
	members := j.s.Members()
	for _, n := range j.t.Nodes {
		j.node(n, members)
	}
	for _, name := range members {
		if !slices.ContainsFunc(j.t.Nodes, func(n topology.Node) bool { return n.Erlang == name }) {
			j.bad(name, "only nodes of the file", "a member", "add it to the file, or stop it and run rabbitmqctl forget_cluster_node "+name)
		}
	}
}

func (j *judge) node(n topology.Node, members []string) {
	v := j.s.Views[n.Name]
	seen := j.s.Views[j.s.From].Self(n.Erlang)
	switch {
	case v.Err != nil:
		j.bad(n.Name, "answers", "DOWN: "+v.Err.Error(), "start RabbitMQ on "+n.Host+" and look at the firewall")
	case !slices.Contains(members, n.Erlang):
		j.bad(n.Name, "in one cluster with "+j.s.From, "not a member", "2-join of "+n.Name+" (engine cluster plan --scripts)")
	case !seen.IsRunning():
		j.bad(n.Name, "running, as "+j.s.From+" sees it", "DOWN: running "+told(seen.Running), "start RabbitMQ on "+n.Host)
	case seen.BeingDrained != nil && *seen.BeingDrained:
		j.bad(n.Name, "serves", "in maintenance", "rabbitmq-upgrade revive on "+n.Host)
	case !sameNodes(v.Nodes, members):
		j.bad(n.Name, strings.Join(members, ", "), "it sees other members", "rabbitmqctl cluster_status on "+n.Host)
	}
	if f := j.s.Facts[n.Name]; f != nil && f.Err == nil && len(f.Unresolved) > 0 {
		j.bad(n.Name, "all names resolve", "unknown: "+strings.Join(f.Unresolved, ", "), "add them to DNS or to the hosts file of "+n.Host)
	}
}

func sameNodes(nodes []management.Node, members []string) bool {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(members)))
}

func (j *judge) versions() {
	rabbit, erlang := j.server(), j.s.Views[j.s.From].Overview.Erlang
	j.each(func(n *topology.Node, v *snapshot.View, _ *management.Node) {
		o := v.Overview
		switch {
		case !topology.Fits(j.t.Expect.Version, o.RabbitMQ):
			j.bad(n.Name, "RabbitMQ "+j.t.Expect.Version, o.RabbitMQ, "install it, or set rabbitmq.version in the file")
		case o.RabbitMQ != rabbit:
			j.bad(n.Name, "RabbitMQ "+rabbit+" as "+j.s.From, o.RabbitMQ, "the same version everywhere")
		}
		switch {
		case o.Erlang == "" || !topology.Fits(j.t.Expect.Erlang, o.Erlang):
			j.bad(n.Name, "Erlang "+or(j.t.Expect.Erlang, "of any version"), or(o.Erlang, "not told"), "install it, or set rabbitmq.erlang in the file")
		case o.Erlang != erlang:
			j.bad(n.Name, "Erlang "+erlang+" as "+j.s.From, o.Erlang, "the same version everywhere")
		}
	})
	j.flags()
}

// optionalFlag is stable since RabbitMQ 4.0, and may stay off until 4.3.
const optionalFlag = "khepri_db"

func (j *judge) flags() {
	if j.blind("feature flags") {
		return
	}
	if len(j.s.Shared.Flags) == 0 {
		j.bad("feature flags", "a list", "none told", "rabbitmqctl list_feature_flags")
	}
	for _, f := range j.s.Shared.Flags {
		if f.State != "enabled" && f.Stability != "experimental" && f.Name != optionalFlag {
			j.bad("feature flag "+f.Name, "enabled", f.State, "rabbitmqctl enable_feature_flag "+f.Name)
		}
	}
}

func (j *judge) storage() {
	j.each(func(n *topology.Node, _ *snapshot.View, self *management.Node) {
		if self.Type == nil || *self.Type != n.Storage {
			j.bad(n.Name, n.Storage+" node", told(self.Type), fmt.Sprintf("rabbitmqctl stop_app; rabbitmqctl change_cluster_node_type %s; rabbitmqctl start_app", n.Storage))
		}
	})
}

func (j *judge) partitions() {
	j.each(func(n *topology.Node, _ *snapshot.View, self *management.Node) {
		switch {
		case self.Partitions == nil:
			j.bad(n.Name, "tells its partitions", "not told", "rabbitmqctl cluster_status on "+n.Host)
		case len(*self.Partitions) > 0:
			j.bad(n.Name, "sees all nodes", "partitioned from "+strings.Join(*self.Partitions, ", "), "restart the nodes of the side that is to give in")
		}
	})
}

func (j *judge) alarms() {
	j.each(func(n *topology.Node, _ *snapshot.View, self *management.Node) {
		if self.MemAlarm == nil || *self.MemAlarm {
			j.bad(n.Name, "no memory alarm", told(self.MemAlarm), "publishers are blocked: rabbitmq-diagnostics memory_breakdown on "+n.Host)
		}
		if self.DiskAlarm == nil || *self.DiskAlarm {
			j.bad(n.Name, "no disk alarm", told(self.DiskAlarm), "publishers are blocked: make room on "+n.Host)
		}
	})
}

func (j *judge) partitionHandling() {
	if topology.VersionAtLeast(j.server(), 4, 3) {
		j.note("RabbitMQ 4.3 has none")
		return
	}
	mend := "cluster_partition_handling = " + j.t.Partition + " in rabbitmq.conf, then restart"
	for _, n := range j.t.Nodes {
		switch f := j.s.Facts[n.Name]; {
		case f == nil:
			j.unknown(n.Name, j.t.Partition, "HTTP does not tell it", "verify with --ctl rabbitmqctl on the Linux node, or with --facts")
		case f.Err != nil:
			j.unknown(n.Name, j.t.Partition, f.Err.Error(), "facts script of "+n.Name)
		case f.Partition != j.t.Partition:
			j.bad(n.Name, j.t.Partition, f.Partition, mend)
		}
	}
}

func (j *judge) plugins() {
	j.each(func(n *topology.Node, _ *snapshot.View, self *management.Node) {
		if self.Plugins == nil {
			j.bad(n.Name, "tells its plugins", "not told", "rabbitmq-plugins list -e on "+n.Host)
			return
		}
		for _, want := range j.t.Plugins {
			if !slices.Contains(*self.Plugins, want) {
				j.bad(n.Name, want, "not enabled", "rabbitmq-plugins enable "+want+" on "+n.Host)
			}
		}
		for _, more := range *self.Plugins {
			if !slices.Contains(j.t.Plugins, more) && !j.everywhere(more) {
				j.bad(n.Name, "the same plugins everywhere", more+" is enabled here only", "rabbitmq-plugins disable "+more+", or add it to the file")
			}
		}
	})
}

// everywhere reports whether each node that tells its plugins has this one.
func (j *judge) everywhere(plugin string) bool {
	all := true
	for _, n := range j.t.Nodes {
		if v := j.s.Views[n.Name]; v.Err == nil && v.Self(n.Erlang) != nil && v.Self(n.Erlang).Plugins != nil {
			all = all && slices.Contains(*v.Self(n.Erlang).Plugins, plugin)
		}
	}
	return all
}

func (j *judge) clocks() {
	j.each(func(n *topology.Node, v *snapshot.View, _ *management.Node) {
		skew, err := v.Skew, v.SkewErr
		if f := j.s.Facts[n.Name]; f != nil && f.Err == nil && f.Fresh {
			skew, err = f.Skew, nil
		}
		switch {
		case err != nil:
			j.bad(n.Name, "tells its time", err.Error(), "no proxy in between that drops the Date header")
		case skew > skewLimit || skew < -skewLimit:
			j.bad(n.Name, "within "+skewLimit.String()+" of this clock", skew.Round(100*time.Millisecond).String(), "chrony on Linux, w32tm /resync on Windows; or this computer's clock is wrong")
		}
	})
}
