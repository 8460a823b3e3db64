package runtime

import (
	"time"

	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/node"
)

// observer tells the recorder what happens in one generation: its nodes are named
// node@generation, those of the live one by their plain names.
type observer struct {
	recorder *metrics.Recorder
	suffix   string
}

func (g *generation) observer() observer {
	o := observer{recorder: g.recorder}
	if g.name != Live {
		o.suffix = "@" + g.name
	}
	return o
}

// Processed implements stage.Observer.
func (o observer) Processed(id string, in, out, rejected int, took time.Duration) {
	o.recorder.Processed(id+o.suffix, in, out, rejected, took)
}

// Retried implements stage.Observer.
func (o observer) Retried(id string, class node.Class, err error) {
	o.recorder.Retried(id+o.suffix, class, err)
}

// DeadLettered implements stage.Observer.
func (o observer) DeadLettered(id string, class node.Class, events int) {
	o.recorder.DeadLettered(id+o.suffix, class, events)
}

// Stored implements stage.Observer. Of another generation nothing is observed: its
// events are old.
func (o observer) Stored(id string, u *node.Unit, at time.Time) {
	if o.suffix == "" {
		o.recorder.Stored(id, u, at)
	}
}

// Held implements stage.Observer.
func (o observer) Held(stage, stream string, lane int, reason error) {
	o.recorder.Held(stage+o.suffix, stream, lane, reason)
}
