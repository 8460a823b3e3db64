package dlq

import (
	"context"

	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/stream"
)

// redacted is a log whose letters are read as they may be shown: filters see no more.
type redacted struct {
	Log
	rules func() *redact.Rules
}

// DeadLetters implements [Log].
func (r redacted) DeadLetters(ctx context.Context, after string, limit int) ([]stream.StoredDeadLetter, error) {
	letters, err := r.Log.DeadLetters(ctx, after, limit)
	rules := r.rules()
	for i := range letters {
		hide(rules, &letters[i])
	}
	return letters, err
}

// DeadLetter implements [Log].
func (r redacted) DeadLetter(ctx context.Context, id string) (stream.StoredDeadLetter, bool, error) {
	d, ok, err := r.Log.DeadLetter(ctx, id)
	hide(r.rules(), &d)
	return d, ok, err
}

// hide replaces what is hidden of d. The reason may quote the content: where that cannot
// be looked into, the reason for programs is all that is left.
func hide(rules *redact.Rules, d *stream.StoredDeadLetter) {
	if rules == nil {
		return
	}
	ev, hidden := rules.Event(d.Event)
	d.Event = ev
	if len(d.Raw) > 0 {
		d.Raw, hidden.Withheld = []byte(redact.Withheld), true
	}
	d.Text = hidden.Scrub(d.Text)
	if hidden.Withheld {
		d.Text = redact.Withheld
	}
}
