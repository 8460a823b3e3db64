package sdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// partBytes is where an answer is cut into messages, by estimated size.
const partBytes = 1 << 20

// laneStream answers the chunks of one Process stream, one after another.
type laneStream struct {
	server    *server
	stream    stream
	transform node.Transform
	lane      int
	state     *unitState // nil: the plugin keeps none

	unit   uint64
	events int  // events of the unit that earlier chunks brought
	failed bool // the unit has been answered with an error
	inHand bool // the unit has begun and its answer is not complete
	part   pluginv1.ProcessResponse
	frame  event.Frame

	// The memory of one chunk and its results, until the next chunk.
	decoder event.Decoder
	room    room
}

// besideResults is how much of what was put may be in a message with results, in
// bytes: those leave as much room.
const besideResults = 32 << 10

// chunk answers one chunk. Its error ends the stream; a transform's error does
// not, it is part of the answer.
func (l *laneStream) chunk(req *pluginv1.ProcessRequest) error {
	if req.Unit != l.unit {
		l.unit, l.events, l.failed = req.Unit, 0, false
		l.state.begin()
		l.take()
	}
	if l.failed {
		return nil // rest of a unit that has had its answer
	}
	batch := &node.Batch{Lane: l.lane}
	if l.state != nil {
		l.state.bring(req.State)
		batch.State = l.state
	}
	if len(req.Frame) > 0 {
		frame, err := l.decoder.Decode(req.Frame)
		if err != nil {
			return fmt.Errorf("unit %d: %w", req.Unit, err)
		}
		batch.Events, batch.Watermark = frame.Events, frame.Watermark
	}
	results, err := l.process(l.stream.Context(), batch)
	if err == nil {
		err = l.answer(results, req.Last)
	}
	l.events += len(batch.Events)
	if unit, ok := errors.AsType[*unitError](err); ok {
		return l.fail(unit)
	}
	return err
}

// take marks the unit as in hand, release as answered; [server.Drain] waits for
// the latter.
func (l *laneStream) take() {
	if !l.inHand {
		l.inHand = true
		l.server.busy.Add(1)
		l.server.hands.RLock()
	}
}

func (l *laneStream) release() {
	if l.inHand {
		l.inHand = false
		l.server.hands.RUnlock()
		l.server.busy.Add(-1)
	}
}

// unitError is an error that is sent as an answer.
type unitError struct {
	event int // index in the unit; -1 if unknown
	err   error
}

// Error is that of the transform.
func (e *unitError) Error() string { return e.err.Error() }

func (l *laneStream) process(ctx context.Context, in *node.Batch) (results []node.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &unitError{-1, panicError(l.server.log, p)}
		}
	}()
	if len(in.Events) == 0 {
		return nil, nil
	}
	if t, ok := l.transform.(lodger); ok {
		results, err = t.processIn(ctx, in, &l.room)
	} else {
		results, err = l.transform.Process(ctx, in)
	}
	if err == nil {
		err = checkCount(results, len(in.Events))
	}
	if guilty, ok := errors.AsType[*eventError](err); ok {
		return nil, &unitError{l.events + guilty.index, err}
	}
	if err != nil {
		return nil, &unitError{-1, err}
	}
	return results, nil
}

func (l *laneStream) fail(e *unitError) error {
	l.failed = true
	defer l.release()
	return l.stream.Send(&pluginv1.ProcessResponse{Unit: l.unit, Last: true, Error: &pluginv1.Error{
		Class: wireClass(e.err), Text: valid(e.err.Error()), Event: int64(e.event + 1),
	}})
}

// answer sends results, in several messages where they are large.
func (l *laneStream) answer(results []node.Result, last bool) error {
	l.begin()
	size, uniform := 0, true
	for i := range results {
		r := &results[i]
		count := uint32(0)
		for _, out := range r.Outputs {
			if size >= partBytes {
				l.part.Outputs = append(l.part.Outputs, count)
				if err := l.send(false, true, false); err != nil {
					return err
				}
				size, count, uniform = 0, 0, false
			}
			l.frame.Events = append(l.frame.Events, out)
			size += out.Size()
			count++
		}
		uniform = uniform && count == 1
		l.part.Outputs = append(l.part.Outputs, count)
		l.rejects(l.events+i, r.Rejects)
	}
	if last {
		return l.end(uniform)
	}
	return l.send(false, false, uniform)
}

// end sends the last of a unit's answer: what is left of the results, and what was
// put, in messages of its own where it is large.
func (l *laneStream) end(uniform bool) error {
	parts, err := l.state.parts()
	if err != nil {
		return &unitError{-1, err}
	}
	defer l.release()
	l.server.unitDone()
	for i, part := range parts {
		if i > 0 || sizeOf(part...) > besideResults {
			if err := l.send(false, false, uniform); err != nil {
				return err
			}
			uniform = true // of no event
		}
		l.part.State = part
	}
	return l.send(true, false, uniform)
}

func (l *laneStream) begin() {
	l.frame.Events = l.frame.Events[:0]
	l.part = pluginv1.ProcessResponse{Unit: l.unit, Outputs: l.part.Outputs[:0]}
}

func (l *laneStream) rejects(index int, rejects []node.Reject) {
	for _, r := range rejects {
		l.part.Rejects = append(l.part.Rejects, &pluginv1.Reject{
			Event: uint32(index), Record: int32(r.Record), Code: valid(r.Code), Text: valid(r.Text),
		})
	}
}

// send sends what has been gathered. uniform says that every event has one
// output, so that the counts can be left out.
func (l *laneStream) send(last, more, uniform bool) error {
	l.part.Last, l.part.More = last, more
	if len(l.frame.Events) > 0 {
		var err error
		if l.part.Frame, err = l.frame.Encode(pluginv1.FrameBuffer(), event.None); err != nil {
			return &unitError{-1, node.AsRejected(err)}
		}
	}
	if size := len(l.part.Frame); size > pluginv1.MaxMessageBytes-(64<<10) {
		return &unitError{-1, node.AsRejected(fmt.Errorf(
			"an answer of %d bytes does not fit in a message of %d bytes", size, pluginv1.MaxMessageBytes))}
	}
	counts := l.part.Outputs
	if uniform {
		l.part.Outputs = nil
	}
	if err := l.stream.Send(&l.part); err != nil {
		return err
	}
	l.part.Outputs = counts
	l.begin()
	return nil
}
