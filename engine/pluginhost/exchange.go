package pluginhost

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// Limits of what is under way on a stream.
const (
	chunkSize  = pluginv1.ChunkBytes  // of a chunk, by the estimate of [encodedSize]
	windowSize = pluginv1.WindowBytes // of a unit's unanswered chunks
	leastSize  = pluginv1.LeastBytes  // that a chunk counts for in the window
)

// What the host keeps of an answer besides what is on the wire, in bytes.
const (
	outputBytes = 320
	rejectBytes = 80
)

// encodedSize estimates the bytes that e takes in a frame.
func encodedSize(e *event.Event) int {
	n := 40 + len(e.RootID) + len(e.Payload)
	for i := range e.Headers {
		n += 8 + len(e.Headers[i].Value.Text())
	}
	if e.Record != nil {
		for i := range e.Record.Fields {
			n += 8 + len(e.Record.Fields[i].Value.Text())
		}
	}
	return n
}

// exchange is one unit's way to the plugin and back. Chunks are sent ahead of
// their answers within windowSize, so that both sides work at the same time. As
// much has room on the way: sending never waits for a plugin that waits for its answer
// to be read.
type exchange struct {
	lane    *lane
	in      *node.Batch
	state   *unitState // nil: the plugin keeps none
	results []node.Result

	sent     int     // events sent
	answered int     // events answered in full
	chunks   []chunk // sent and not answered, in order
	window   int     // their sizes together
	next     chunk   // encoded and not sent; none: its size is 0
	received int64   // bytes of the answer, and of what the host keeps of it
	last     bool    // the answer is complete
	open     bool    // results[answered] has outputs of an earlier message
}

type chunk struct{ end, size int }

func (x *exchange) run() error {
	for !x.last {
		if err := x.send(); err != nil {
			return err
		}
		if err := x.receive(); err != nil {
			return err
		}
	}
	if x.answered != len(x.in.Events) {
		return broken("%d of %d events were answered", x.answered, len(x.in.Events))
	}
	return nil
}

// send sends chunks while the window has room for them. The one that has to wait is
// encoded by then.
func (x *exchange) send() error {
	for x.sent < len(x.in.Events) {
		if x.next.size == 0 {
			if err := x.encode(); err != nil {
				return err
			}
		}
		if x.window > 0 && x.window+x.next.size > windowSize {
			return nil
		}
		if err := x.lane.stream.SendMsg(&x.lane.req); err != nil {
			// The reason is what the stream's receiving half says.
			return errors.Join(err, x.lane.stream.RecvMsg(&x.lane.resp))
		}
		x.chunks = append(x.chunks, x.next)
		x.window += x.next.size
		x.sent, x.next = x.next.end, chunk{}
	}
	return nil
}

// encode makes the next chunk.
func (x *exchange) encode() error {
	l, events := x.lane, x.in.Events
	end, size, state := x.sent, 0, 0
	l.req.State = l.req.State[:0]
	for end < len(events) && (size == 0 || size+state < chunkSize) {
		size += encodedSize(events[end])
		if x.state != nil {
			state += x.state.send(&l.req, events[end].Key)
		}
		end++
	}
	l.frame.Events, l.frame.Watermark = events[x.sent:end], x.in.Watermark
	frame, err := l.frame.Encode(pluginv1.FrameBuffer(), event.None)
	if err != nil {
		return refused("%v", err)
	}
	if limit := pluginv1.MaxMessageBytes - 1024; len(frame)+state > limit {
		return refused("an event of %d bytes with %d bytes of state does not fit in a message of %d bytes", len(frame), state, limit)
	}
	l.req.Unit, l.req.Frame, l.req.Last = l.unit, frame, end == len(events)
	x.next = chunk{end, max(len(frame)+state, leastSize)}
	return nil
}

// receive takes the next message of the answer.
func (x *exchange) receive() error {
	resp := &x.lane.resp
	if err := x.lane.stream.RecvMsg(resp); err != nil {
		return err
	}
	if resp.Unit != x.lane.unit {
		return broken("an answer to unit %d while unit %d is under way", resp.Unit, x.lane.unit)
	}
	if resp.Error != nil {
		return &answerError{wireError(resp.Error)}
	}
	x.received += int64(proto.Size(resp)) + rejectBytes*int64(len(resp.Rejects))
	if err := x.take(resp); err != nil {
		return err
	}
	if limit := x.lane.work.cfg.MaxAnswerBytes; x.received > limit {
		return refused("its answer to one unit has more than %d bytes", limit)
	}
	if err := x.state.take(resp.State); err != nil {
		return err
	}
	x.last = resp.Last
	for len(x.chunks) > 0 && x.chunks[0].end <= x.answered {
		x.window -= x.chunks[0].size
		x.chunks = x.chunks[1:]
	}
	return nil
}

// take checks a message and files what it says under the events it answers.
func (x *exchange) take(resp *pluginv1.ProcessResponse) error {
	var outputs []*event.Event
	if len(resp.Frame) > 0 {
		if event.CompressionOf(resp.Frame) != event.None {
			return broken("a compressed frame") // a small one may unpack to 64 MiB
		}
		frame, err := event.DecodeFrame(resp.Frame)
		if err != nil {
			return broken("%v", err)
		}
		outputs = frame.Events
		x.received += outputBytes * int64(len(outputs))
	}
	events := len(resp.Outputs)
	if events == 0 {
		events = len(outputs)
	}
	if x.answered+events > x.sent {
		return broken("answers to %d events, %d were sent", x.answered+events, x.sent)
	}
	if err := x.rejects(resp.Rejects, x.answered+events); err != nil {
		return err
	}
	if len(resp.Outputs) == 0 {
		return x.uniform(outputs, resp.More)
	}
	return x.counted(outputs, resp.Outputs, resp.More)
}

// uniform files one output under each of the next events.
func (x *exchange) uniform(outputs []*event.Event, more bool) error {
	for i := range outputs {
		if err := x.file(outputs[i : i+1 : i+1]); err != nil {
			return err
		}
		x.answered++
	}
	return x.leaveOpen(len(outputs), more)
}

func (x *exchange) counted(outputs []*event.Event, counts []uint32, more bool) error {
	for _, count := range counts {
		if uint64(count) > uint64(len(outputs)) {
			return broken("more outputs counted than sent")
		}
		if err := x.file(outputs[:count:count]); err != nil {
			return err
		}
		outputs = outputs[count:]
		x.answered++
	}
	if len(outputs) > 0 {
		return broken("%d outputs too many", len(outputs))
	}
	return x.leaveOpen(len(counts), more)
}

func (x *exchange) leaveOpen(events int, more bool) error {
	if !more {
		return nil
	}
	if events == 0 {
		return broken("an answer to no event goes on")
	}
	x.answered--
	x.open = true
	return nil
}

// file gives the event that is next its outputs. What an output has from its
// source message is taken from the input, where it is known to be right.
func (x *exchange) file(outputs []*event.Event) error {
	in, result := x.in.Events[x.answered], &x.results[x.answered]
	for _, out := range outputs {
		if out.RootID != in.RootID {
			return broken("an output of event %d has root %q, its input %q", x.answered, clip(out.RootID, 100), clip(in.RootID, 100))
		}
		out.RootID, out.Root, out.Source, out.Ingested = in.RootID, in.Root, in.Source, in.Ingested
		out.Plugin = x.lane.work.stamp
	}
	if x.open {
		result.Outputs = append(result.Outputs, outputs...)
		x.open = false
		return nil
	}
	result.Outputs = outputs
	return nil
}

// rejects files rejects of events before end.
func (x *exchange) rejects(rejects []*pluginv1.Reject, end int) error {
	for _, r := range rejects {
		if int64(r.Event) < int64(x.answered) || int64(r.Event) >= int64(end) {
			return broken("a reject of event %d among answers to %d..%d", r.Event, x.answered, end-1)
		}
		result := &x.results[r.Event]
		reject := node.Reject{Maker: x.lane.work.stamp, Record: int(r.Record), Code: r.Code[:min(len(r.Code), 100)], Text: r.Text[:min(len(r.Text), 4000)]}
		defaultTo(&reject.Code, "rejected")
		defaultTo(&reject.Text, "the plugin gives no reason")
		result.Rejects = append(result.Rejects, reject)
	}
	return nil
}

// wireError makes an error of what a plugin says, with its class.
func wireError(e *pluginv1.Error) error {
	err := errors.New(clip(e.Text, 4000))
	switch e.Class {
	case pluginv1.Class_CLASS_AWAY:
		return node.AsAway(err)
	case pluginv1.Class_CLASS_REJECTED:
		return node.AsRejected(err)
	case pluginv1.Class_CLASS_FATAL:
		return node.AsFatal(err)
	default:
		return node.AsUnsure(err)
	}
}
