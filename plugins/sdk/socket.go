package sdk

import (
	"context"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// stream is what a lane's requests come on and its answers go out on: gRPC's or a
// socket's.
type stream interface {
	Context() context.Context // ends with the stream
	Recv() (*pluginv1.ProcessRequest, error)
	Send(*pluginv1.ProcessResponse) error
}

// listen offers the host lane sockets, if it has given this process a descriptor for them.
func (s *server) listen() {
	lanes, err := pluginv1.ListenLanes()
	switch {
	case err != nil:
		s.log.Warn("lanes go over gRPC", "error", err)
	case lanes != nil:
		s.able = append(s.able, pluginv1.LaneSockets)
		go s.serveLanes(lanes)
	}
}

// serveLanes serves each lane that the host opens over a socket, until it opens no more.
func (s *server) serveLanes(l *pluginv1.LaneListener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.serveLane(pluginv1.NewLaneConn(conn))
	}
}

// serveLane serves one lane until the host closes it. There is nobody to tell an error
// but the log: the host sees that the stream has ended.
func (s *server) serveLane(conn *pluginv1.LaneConn) {
	defer conn.Close()
	var lane stream = &socketStream{conn: conn}
	if s.mayWait() {
		ahead, leave := watch(conn)
		defer leave()
		lane = ahead
	}
	if err := s.serve(lane); err != nil {
		s.log.Error("a lane's stream failed", "error", err)
	}
}

// mayWait reports whether the transform is one that is told when its stream ends; a
// Func is not.
func (s *server) mayWait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, lodges := s.transform.(lodger)
	return !lodges
}

// socketStream is a stream over a socket, which is read between two answers only: the
// kernel holds what a host may send in the meantime.
type socketStream struct {
	conn *pluginv1.LaneConn
	req  pluginv1.ProcessRequest
}

var _ stream = (*socketStream)(nil)

// Context returns one that never ends.
func (s *socketStream) Context() context.Context { return context.Background() }

// Recv returns a request that is valid until the next.
func (s *socketStream) Recv() (*pluginv1.ProcessRequest, error) {
	return &s.req, s.conn.RecvMsg(&s.req)
}

// Send sends an answer, whose frame's memory it takes.
func (s *socketStream) Send(resp *pluginv1.ProcessResponse) error { return s.conn.SendMsg(resp) }

// watched is a stream over a socket that is read ahead of the lane's work, as gRPC
// does, so that its context ends with it in the midst of a unit. It costs passing each
// chunk on from one goroutine to another.
type watched struct {
	socketStream
	ctx      context.Context
	requests chan *pluginv1.ProcessRequest
	err      error // why there are no more; set before requests is closed
}

// watch begins to read. leave must be called; reading ends with the socket.
func watch(conn *pluginv1.LaneConn) (w *watched, leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	const window = pluginv1.WindowBytes / pluginv1.LeastBytes // more are not on the way
	w = &watched{socketStream{conn: conn}, ctx, make(chan *pluginv1.ProcessRequest, window), nil}
	go w.read(cancel)
	return w, cancel
}

func (w *watched) read(cancel func()) {
	defer cancel()
	defer close(w.requests)
	for {
		req := &pluginv1.ProcessRequest{}
		if w.err = w.conn.RecvMsg(req); w.err != nil {
			return
		}
		select {
		case w.requests <- req:
		case <-w.ctx.Done():
			w.err = w.ctx.Err()
			return
		}
	}
}

// Context returns one that ends with the stream.
func (w *watched) Context() context.Context { return w.ctx }

// Recv returns the next request that was read.
func (w *watched) Recv() (*pluginv1.ProcessRequest, error) {
	req, ok := <-w.requests
	if !ok {
		return nil, w.err
	}
	return req, nil
}
