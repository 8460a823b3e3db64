package stream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// A letter whose event is above maxDeadEvent keeps keptContent of its content: one
// monster must not take the room of everything else.
const (
	maxDeadEvent = 16 << 20 // bytes of a frame
	keptContent  = 64 << 10 // bytes
)

// index names a dead letter for the check that it is stored once.
func (d *DeadLetter) index() string {
	subject := "raw:" + TopicOf(d.Stream, d.Lane) + ":" + d.At.String()
	if d.Event != nil {
		subject = d.Event.ID.String()
	}
	return subject + "|" + d.Node + "|" + d.Generation + "|" + strconv.Itoa(d.Record)
}

// deadLetter appends the letter's index field, cost and entry to the arguments.
func (b *commitArgs) deadLetter(d *DeadLetter) error {
	frame, cut, err := d.content()
	if err != nil {
		return node.AsFatal(fmt.Errorf("encode dead letter of node %s: %w", d.Node, err))
	}
	raw, id, root := 1, "", ""
	if d.Event != nil {
		raw, id, root = 0, d.Event.ID.String(), d.Event.RootID
	}
	fields := []any{
		"v", formatVersion, "event", frame, "raw", raw, "id", id, "root", root, "node", d.Node,
		"generation", d.Generation, "record", d.Record, "class", d.Class.String(), "code", d.Code, "text", d.Text,
		"plugin", d.Plugin, "attempt", d.Attempt, "time", d.TimeMs, "at", TopicOf(d.Stream, d.Lane) + " " + d.At.String(),
	}
	if cut != nil {
		b.cut++
		fields = append(fields, "length", cut.Length, "sha256", cut.SHA256)
	}
	if d.Strict {
		fields = append(fields, "strict", 1)
	}
	if d.Waits {
		fields = append(fields, "waits", 1)
	}
	total, again := d.blocks()
	waits, id := "0", ""
	if d.Waits {
		waits = "1"
	}
	if d.Event != nil {
		id = d.Event.ID.String()
	}
	b.args = append(append(b.args, d.index(), deadCost(frame, d.Text), total, again, waits, id, len(fields)), fields...)
	return nil
}

// blocks returns the fields of what the letter holds up, "" for nothing.
func (d *DeadLetter) blocks() (total, again string) {
	if !d.Strict || d.Event == nil {
		return "", ""
	}
	total = blockedField(d.Node, d.Event.Key, "")
	if d.Generation == redriven {
		again = blockedField(d.Node, d.Event.Key, redriven)
	}
	return total, again
}

// content returns what a letter keeps of its event, and what it leaves out.
func (d *DeadLetter) content() ([]byte, *Cut, error) {
	if d.Event == nil {
		kept, cut := cutContent(d.Raw, maxDeadEvent)
		return kept, cut, nil
	}
	if d.Event.Size() <= maxDeadEvent {
		frame, err := frameOf(d.Event)
		if err != nil || len(frame) <= maxDeadEvent {
			return frame, d.Cut, err
		}
	}
	small, all := *d.Event, d.Event.Payload
	if r := d.Event.Record; r != nil {
		if text := r.AppendJSON(nil); len(text) > len(all) {
			all = text
		}
	}
	kept, cut := cutContent(all, keptContent)
	if cut == nil { // what is large is not the content
		frame, err := frameOf(d.Event)
		return frame, d.Cut, err
	}
	small.Payload, small.Record = kept, nil
	frame, err := frameOf(&small)
	return frame, cut, err
}

func frameOf(e *event.Event) ([]byte, error) {
	f := event.Frame{Events: []*event.Event{e}}
	return f.Encode(nil, event.None)
}

// cutContent returns the first keptContent bytes of b if it has more than most.
func cutContent(b []byte, most int) ([]byte, *Cut) {
	if len(b) <= most {
		return b, nil
	}
	return b[:keptContent], &Cut{Length: int64(len(b)), SHA256: fmt.Sprintf("%x", sha256.Sum256(b))}
}

// deadCost is what a letter counts for in the usage of Redis' memory, in bytes.
func deadCost(frame []byte, text string) int { return len(frame) + len(text) + 4*entryOverhead }

// StoreDeadLetters stores those letters that are not stored yet: a letter is
// known by its event (or its place, if it could not be decoded), node, generation
// and record. It may be repeated. Errors are those of [Log.Append], without ErrFull
// and KnownError: dead letters are stored also when the log is full.
func (l *Log) StoreDeadLetters(ctx context.Context, le *Lease, letters []DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	b := commitArgs{keys: []string{l.keys.meta, l.keys.owners, le.key, l.keys.usage, l.keys.dead, l.keys.deadIndex, l.keys.blocked, l.keys.blockedBy}}
	b.args = append(b.args, l.epochText, le.name, le.token, l.cfg.LeaseTTL.Milliseconds(), len(letters))
	for i := range letters {
		if err := b.deadLetter(&letters[i]); err != nil {
			return err
		}
	}
	word, _, err := l.call(ctx, deadLettersScript, b.keys, b.args)
	if err == nil && word != "ok" {
		switch word {
		case "unblocked":
			return ErrUnblocked
		case "lost_lease":
			l.lostTo(le, "")
		}
		err = l.answered(word, "")
	}
	if err != nil {
		return fmt.Errorf("store %d dead letters: %w", len(letters), err)
	}
	l.cuts.Add(int64(b.cut))
	return nil
}

// StoredDeadLetter is a dead letter with its name in the log.
type StoredDeadLetter struct {
	ID string // Redis stream id
	DeadLetter
	// Released says of a letter that is driven again that its own event does not block
	// its key there any more, because another letter's does.
	Released bool
	cost     int // what it counts for in the usage
}

// DeadLetter returns the dead letter that is named id; ok is false if there is none.
func (l *Log) DeadLetter(ctx context.Context, id string) (letter StoredDeadLetter, ok bool, err error) {
	entries, err := l.rdb.XRangeN(ctx, l.keys.dead, id, id, 1).Result()
	if err != nil {
		return letter, false, fmt.Errorf("read dead letter %s: %w", id, l.awayOrFatal(err))
	}
	if len(entries) == 0 {
		return letter, false, nil
	}
	return storedDeadLetter(&entries[0]), true, nil
}

// expireAtOnce bounds how many dead letters are dropped for their age at a time.
const expireAtOnce = 200

// expireDead drops the oldest dead letters if they are older than is kept. Those of
// nodes with strict order stay: others may wait behind them.
func (l *Log) expireDead(ctx context.Context) error {
	before := strconv.FormatInt(time.Now().Add(-l.cfg.DeadRetention).UnixMilli(), 10)
	for from := "-"; ; {
		entries, err := l.rdb.XRangeN(ctx, l.keys.dead, from, before, expireAtOnce).Result()
		if err != nil {
			return fmt.Errorf("look for old dead letters: %w", l.awayOrFatal(err))
		}
		letters := make([]StoredDeadLetter, 0, len(entries))
		for i := range entries {
			if d := storedDeadLetter(&entries[i]); !d.Strict {
				letters = append(letters, d)
			}
		}
		if len(letters) > 0 || len(entries) < expireAtOnce {
			return l.expire(ctx, letters)
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

func (l *Log) expire(ctx context.Context, letters []StoredDeadLetter) error {
	n, err := l.DropDeadLetters(ctx, letters)
	if n > 0 {
		l.logger.Warn("dead letters dropped, they are older than dead_letter_retention", "letters", n, "retention", l.cfg.DeadRetention)
	}
	return err
}

// LastDeadLetter names the newest dead letter, "" if there is none.
func (l *Log) LastDeadLetter(ctx context.Context) (string, error) {
	entries, err := l.rdb.XRevRangeN(ctx, l.keys.dead, "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("read the newest dead letter: %w", l.awayOrFatal(err))
	}
	if len(entries) == 0 {
		return "", nil
	}
	return entries[0].ID, nil
}

// DropDeadLetters forgets letters and returns how many of them were still there.
// It needs no lease and may be repeated. A unit that is still being tried again
// may store its letter anew.
func (l *Log) DropDeadLetters(ctx context.Context, letters []StoredDeadLetter) (int, error) {
	if len(letters) == 0 {
		return 0, nil
	}
	args := []any{l.epochText, len(letters)}
	for i := range letters {
		total, again := letters[i].blocks()
		args = append(args, letters[i].ID, letters[i].index(), letters[i].cost, total, again)
	}
	keys := []string{l.keys.meta, l.keys.usage, l.keys.dead, l.keys.deadIndex, l.keys.blocked, l.keys.blockedBy}
	word, answer, err := l.call(ctx, dropDeadScript, keys, args)
	if err == nil && word != "ok" {
		err = l.answered(word, "")
	}
	if err != nil {
		return 0, fmt.Errorf("drop %d dead letters: %w", len(letters), err)
	}
	return int(asInt(elem(answer, 0))), nil
}

// DeadLetters returns up to limit dead letters stored after the one named after
// ("" for the first), oldest first.
func (l *Log) DeadLetters(ctx context.Context, after string, limit int) ([]StoredDeadLetter, error) {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	entries, err := l.rdb.XRangeN(ctx, l.keys.dead, start, "+", int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", l.awayOrFatal(err))
	}
	letters := make([]StoredDeadLetter, len(entries))
	for i := range entries {
		letters[i] = storedDeadLetter(&entries[i])
	}
	return letters, nil
}

// storedDeadLetter reads an entry. What cannot be read of it is left empty: a
// listing must not end at one bad letter.
func storedDeadLetter(m *redis.XMessage) StoredDeadLetter {
	text := func(name string) string {
		s, _ := m.Values[name].(string)
		return s
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(text(name), 10, 64)
		return n
	}
	d := StoredDeadLetter{ID: m.ID, DeadLetter: DeadLetter{
		Node: text("node"), Generation: text("generation"), Record: int(number("record")),
		Code: text("code"), Text: text("text"), Plugin: text("plugin"), Attempt: int(number("attempt")), TimeMs: number("time"),
	}}
	for _, c := range []node.Class{node.Unsure, node.Away, node.Rejected, node.Fatal} {
		if c.String() == text("class") {
			d.Class = c
		}
	}
	d.place(text("at"))
	d.Strict, d.Waits = text("strict") == "1", text("waits") == "1"
	if sum := text("sha256"); sum != "" {
		d.Cut = &Cut{Length: number("length"), SHA256: sum}
	}
	d.cost = deadCost([]byte(text("event")), d.Text)
	if f, err := event.DecodeFrame([]byte(text("event"))); err == nil && text("raw") == "0" && len(f.Events) == 1 {
		d.Event = f.Events[0]
	} else {
		d.Raw = []byte(text("event"))
	}
	return d
}

// place reads "stream/lane position".
func (d *DeadLetter) place(s string) {
	for i := range s {
		if s[i] != ' ' {
			continue
		}
		if name, lane, err := parseTopic(s[:i]); err == nil {
			d.Stream, d.Lane = name, lane
		}
		if at, err := event.ParsePosition(s[i+1:]); err == nil {
			d.At = at
		}
	}
}

// undecodable is the dead letter of an entry that is no frame.
func undecodable(reader string, ln *lane, at event.Position, raw []byte, err error, nowMs int64) DeadLetter {
	head := raw[:min(len(raw), 16)]
	return DeadLetter{
		Raw: raw, Node: reader, Generation: reader, Record: -1, Class: node.Rejected, Code: "undecodable",
		Text: fmt.Sprintf("%v (%d bytes, first %s)", err, len(raw), hex.EncodeToString(head)), Attempt: 1, TimeMs: nowMs,
		Stream: ln.stream, Lane: ln.number, At: at,
	}
}
