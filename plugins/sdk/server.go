package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/millrace/millrace/engine/node"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// server answers the calls of schemas/plugin/v1 with one opened transform.
type server struct {
	pluginv1.UnimplementedPluginServer
	plugin Plugin
	log    *slog.Logger
	again  bool     // it may be configured again, by the next host
	able   []string // its capabilities

	mu        sync.Mutex
	transform node.Transform         // guarded by mu; nil until configured
	lanes     map[uint32]*sync.Mutex // guarded by mu: one call at a time per lane

	units    atomic.Uint64
	lastUnit atomic.Int64
	busy     atomic.Int32
	hands    sync.RWMutex // held for reading while a unit is in hand
}

func newServer(p Plugin, log *slog.Logger) *server {
	return &server{plugin: p, log: log, lanes: map[uint32]*sync.Mutex{}}
}

// Describe says what the plugin is, and what it is able to do with this host.
func (s *server) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{
		Name: s.plugin.Name, Version: s.plugin.Version,
		ConfigSchema: s.plugin.ConfigSchema, InputContent: s.plugin.Input, Sdk: "go/1",
		StateVersion: s.plugin.StateVersion, ReadableStateVersions: s.plugin.ReadableStates, Capabilities: s.able,
	}, nil
}

// Configure opens the transform; problems of the configuration are its answer.
func (s *server) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (resp *pluginv1.ConfigureResponse, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transform != nil && !s.again {
		return nil, status.Error(codes.FailedPrecondition, "configured twice")
	}
	defer func() {
		if p := recover(); p != nil {
			resp, err = configProblems(panicError(s.log, p)), nil
		}
	}()
	s.transform, err = s.plugin.open(r.Config, Node{ID: r.Node, Pipeline: r.Pipeline, Lanes: int(r.Lanes), Logger: s.log})
	if err != nil {
		s.transform = nil
		return configProblems(err), nil
	}
	return &pluginv1.ConfigureResponse{}, nil
}

func configProblems(err error) *pluginv1.ConfigureResponse {
	resp := &pluginv1.ConfigureResponse{}
	for _, e := range configErrors(err) {
		resp.Errors = append(resp.Errors, &pluginv1.ConfigError{Path: valid(e.Path), Text: valid(e.Text)})
	}
	return resp
}

// Health tells what was done so far, and answers also while units are in hand.
func (s *server) Health(context.Context, *pluginv1.HealthRequest) (*pluginv1.HealthResponse, error) {
	return &pluginv1.HealthResponse{
		Units: s.units.Load(), LastUnitMs: s.lastUnit.Load(), Busy: uint32(s.busy.Load()),
	}, nil
}

// Drain waits for the units in hand.
func (s *server) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	s.hands.Lock()
	defer s.hands.Unlock()
	return &pluginv1.DrainResponse{Units: s.units.Load()}, nil
}

// opened returns the transform and the lock of a lane. A stream that the host
// gave up may still be in a call when its successor begins.
func (s *server) opened(lane uint32) (node.Transform, *sync.Mutex, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transform == nil {
		return nil, nil, status.Error(codes.FailedPrecondition, "not configured")
	}
	if s.lanes[lane] == nil {
		s.lanes[lane] = &sync.Mutex{}
	}
	return s.transform, s.lanes[lane], nil
}

// Process serves one lane of a host that speaks gRPC alone.
func (s *server) Process(stream pluginv1.Plugin_ProcessServer) error { return s.serve(stream) }

// serve serves one lane until the host closes the stream.
func (s *server) serve(stream stream) error {
	first, err := stream.Recv()
	if err != nil {
		return endOf(err)
	}
	transform, mu, err := s.opened(first.Lane)
	if err != nil {
		return err
	}
	l := &laneStream{server: s, stream: stream, transform: transform, lane: int(first.Lane)}
	if s.plugin.StateVersion != "" {
		l.state = &unitState{version: s.plugin.StateVersion}
	}
	defer l.release()
	for req := first; ; {
		if err := l.serialized(mu, req); err != nil {
			return err
		}
		if req, err = stream.Recv(); err != nil {
			return endOf(err)
		}
	}
}

func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (l *laneStream) serialized(mu *sync.Mutex, req *pluginv1.ProcessRequest) error {
	mu.Lock()
	defer mu.Unlock()
	return l.chunk(req)
}

func (s *server) unitDone() {
	s.units.Add(1)
	s.lastUnit.Store(time.Now().UnixMilli())
}

// wireClass maps an error's class to its number on the wire.
func wireClass(err error) pluginv1.Class {
	switch node.ClassOf(err) {
	case node.Away:
		return pluginv1.Class_CLASS_AWAY
	case node.Rejected:
		return pluginv1.Class_CLASS_REJECTED
	case node.Fatal:
		return pluginv1.Class_CLASS_FATAL
	default:
		return pluginv1.Class_CLASS_UNSURE
	}
}

var errCount = errors.New("the transform broke its contract")

func checkCount(results []node.Result, events int) error {
	if len(results) != events {
		return fmt.Errorf("%d results for %d events: %w", len(results), events, errCount)
	}
	return nil
}
