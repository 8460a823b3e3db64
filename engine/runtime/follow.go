package runtime

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/source/amqp/follow"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/spec"
)

// followed watches the source where its options ask for it.
func (r *sourceRun) followed(src node.Source, opts *amqp.Options, urls []string) (node.Source, error) {
	if opts.Follow == "" && opts.Sequence == "" {
		return src, nil
	}
	cfg := follow.Config{Source: src, Queue: opts.Queue, Require: opts.RequireSynchronised, Log: r.engine.Logger.With("source", r.node.ID)}
	brokers, err := link.Parse(urls)
	if err != nil {
		return nil, err
	}
	cfg.VHost = brokers[0].Vhost()
	if opts.Management != "" {
		if cfg.Cluster, err = managementOf(opts.Management); err != nil {
			return nil, err
		}
	}
	for into, text := range map[*follow.Words]string{&cfg.Sequence: opts.Sequence, &cfg.Producer: opts.Producer} {
		if text == "" {
			continue
		}
		program, err := expr.CompileIdentity(text)
		if err != nil {
			return nil, err
		}
		*into = program.Identity
	}
	f := follow.New(cfg)
	r.follower = f
	return f, nil
}

// managementOf returns a client for http://user:password@host:port. Its error does
// not show the address.
func managementOf(address spec.Secret) (*management.Client, error) {
	u, err := url.Parse(address.Reveal())
	if err != nil {
		return nil, fmt.Errorf("management: not an address")
	}
	password, _ := u.User.Password()
	return management.New(management.Options{
		URL: strings.TrimSuffix(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), User: u.User.Username(), Password: spec.Secret(password),
	}), nil
}

// queueStats are what the followed queues tell, for the metrics.
func (e *Engine) queueStats() []metrics.QueueStats {
	var all []metrics.QueueStats
	for _, p := range e.crew.all() {
		s := p.source
		if s == nil || s.follower == nil {
			continue
		}
		f := s.follower.Facts()
		all = append(all, metrics.QueueStats{
			Source: s.node.ID, Leader: f.Leader, Replica: f.Replica, Known: f.Known, Synchronised: f.Synchronised,
			Promotions: f.Promotions, Redelivered: f.Redelivered, Missing: f.Missing,
		})
	}
	return all
}
