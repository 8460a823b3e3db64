package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Commit moves a reader's position from After, the entry just before a unit, to
// Last, the unit's last entry, and stores the unit's effects in the same step.
type Commit struct {
	Reader  string // as registered, "<id>@<generation>"
	Stream  string
	Lane    int
	After   event.Position
	Last    event.Position
	Effects Effects
}

// Commit does c in one atomic step, or nothing of it, and says which. It may be
// repeated after an error: the answer is then [Already] if the first one arrived.
//
// The error is nil exactly if the answer is [OK] or [Already]. [LostLease] comes
// with [ErrLostLease]: drop the unit, stop the lane. [Full] comes with [ErrFull]
// (Away): wait and commit again. [Gap] and [WrongEpoch] come with Fatal errors
// and the log has told [Config.OnFatal]. An error that wraps none of these means
// that Redis did not answer (Away) or refused (Fatal); the answer means nothing then.
func (l *Log) Commit(ctx context.Context, le *Lease, c Commit) (Answer, error) {
	ln, err := l.lane(c.Stream, c.Lane)
	if err != nil {
		return Gap, err
	}
	if c.After.Epoch != l.epoch && !c.After.IsZero() || c.Last.Epoch != l.epoch {
		return WrongEpoch, ln.wrap("commit "+c.Reader+" in", l.answered("wrong_epoch", ""))
	}
	b, err := l.commitArgs(le, &c)
	if err != nil {
		return Gap, err
	}
	word, rest, err := l.call(ctx, commitScript, b.keys, b.args)
	if errors.Is(err, errOutOfMemory) {
		l.outOfMemory()
		return Full, ln.wrap("commit "+c.Reader+" in", node.AsAway(errors.Join(ErrFull, err)))
	}
	if err != nil {
		return Full, ln.wrap("commit "+c.Reader+" in", err)
	}
	answer, err := l.committed(le, &b, word, rest)
	return answer, ln.wrap("commit "+c.Reader+" in", err)
}

func (l *Log) committed(le *Lease, b *commitArgs, word string, rest []any) (Answer, error) {
	switch word {
	case "ok":
		l.cuts.Add(int64(b.cut))
		return OK, l.sawHeads(b, rest)
	case "already":
		return Already, nil
	case "lost_lease":
		l.lostTo(le, "")
		return LostLease, l.answered(word, "")
	case "full":
		return Full, l.answered(word, "")
	case "unblocked":
		return Unblocked, ErrUnblocked
	case "gap":
		return Gap, l.answered(word, replyText(rest, 0))
	default:
		return WrongEpoch, l.answered(word, replyText(rest, 0))
	}
}

// sawHeads notes the heads that a script has answered for the lanes that b appends to.
func (l *Log) sawHeads(b *commitArgs, answer []any) error {
	for i, ln := range b.lanes {
		head, err := l.at(replyText(answer, i))
		if err != nil {
			return l.fail(err)
		}
		ln.appended(b.frames, head)
		ln.saw(head.Seq)
	}
	return nil
}

// appended keeps those of outputs that one script has stored in the lane, up to head: they
// have its time, and numbers that rise by one (outputs.lua).
func (ln *lane) appended(outputs []Output, head event.Position) {
	for i := len(outputs) - 1; i >= 0; i-- {
		if o := &outputs[i]; o.Stream == ln.stream && o.Lane == ln.number {
			ln.tail.add(entry{head, o.Frame})
			head.Seq--
		}
	}
}

// commitArgs are the keys and arguments of a script that appends frames or dead
// letters, and the lanes that it appends to.
type commitArgs struct {
	keys   []string
	args   []any
	lanes  []*lane
	frames []Output // that it appends, in order
	cut    int      // dead letters with a part of their content
}

func (l *Log) commitArgs(le *Lease, c *Commit) (commitArgs, error) {
	e := &c.Effects
	b := commitArgs{
		keys: make([]string, 0, 9+2*len(e.Outputs)+len(e.State)),
		args: make([]any, 0, 12+7*len(e.Outputs)+48*len(e.DeadLetters)+4*len(e.State)+2*len(e.Released)),
	}
	b.keys = append(b.keys, l.keys.meta, l.keys.owners, le.key, l.keys.positions, l.keys.usage, l.keys.dead, l.keys.deadIndex,
		l.keys.blocked, l.keys.blockedBy)
	b.args = append(b.args, l.epochText, le.name, le.token, l.cfg.LeaseTTL.Milliseconds(),
		positionField(c.Reader, c.Stream, c.Lane), entryID(c.After), entryID(c.Last),
		0, len(e.Outputs), len(e.DeadLetters), len(e.State), len(e.Released))
	if err := b.outputs(l, e.Outputs); err != nil {
		return b, err
	}
	b.args[7] = len(b.lanes)
	for i := range e.DeadLetters {
		if err := b.deadLetter(&e.DeadLetters[i]); err != nil {
			return b, err
		}
	}
	b.state(l, e.State)
	for _, r := range e.Released {
		b.args = append(b.args, blockedField(r.Node, r.Key, ""), r.Events)
	}
	return b, nil
}

func (b *commitArgs) outputs(l *Log, outputs []Output) error {
	b.frames = outputs
	numbers := make([]int, len(outputs))
	for i := range outputs {
		ln, err := l.lane(outputs[i].Stream, outputs[i].Lane)
		if err != nil {
			return err
		}
		if len(outputs[i].Frame) > maxFrame {
			return fatalf("output frame of %d bytes is above %d", len(outputs[i].Frame), maxFrame)
		}
		numbers[i] = b.laneNumber(ln)
	}
	for i := range outputs {
		o := &outputs[i]
		b.args = append(b.args, numbers[i], o.Frame, o.Events, len(o.Frame)+entryOverhead)
	}
	return nil
}

// laneNumber returns the number, from 1, under which the script knows the lane.
func (b *commitArgs) laneNumber(ln *lane) int {
	for i, have := range b.lanes {
		if have == ln {
			return i + 1
		}
	}
	b.lanes = append(b.lanes, ln)
	b.keys = append(b.keys, ln.key, ln.info)
	b.args = append(b.args, ln.stream, ln.limit.Load(), ln.known.Load())
	return len(b.lanes)
}

func (b *commitArgs) state(l *Log, changes []StateChange) {
	numbers := map[string]int{}
	for _, c := range changes {
		n, ok := numbers[c.Node]
		if !ok {
			n = len(numbers) + 1
			numbers[c.Node] = n
			b.keys = append(b.keys, l.keys.state(c.Node))
		}
		if c.Value == nil {
			b.args = append(b.args, n, c.Key, "0", "")
		} else {
			b.args = append(b.args, n, c.Key, "1", c.Value)
		}
	}
}

// LoadState returns the state of keys of one node, as the last commits left it.
// Keys that have none are absent. Errors are Away or Fatal.
func (l *Log) LoadState(ctx context.Context, node string, keys []string) (map[string][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if err := l.usable(); err != nil {
		return nil, err
	}
	values, err := l.rdb.HMGet(ctx, l.keys.state(node), keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("load state of %s: %w", node, l.awayOrFatal(err))
	}
	state := make(map[string][]byte, len(keys))
	for i, v := range values {
		if s, ok := v.(string); ok {
			state[keys[i]] = []byte(s)
		}
	}
	return state, nil
}
