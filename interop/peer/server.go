package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const peerService = "ttrpc.interop.Peer"

// handlers counts the handlers that wait for their context or a timer.
var handlers int64

// stats is a server's account of itself.
type stats struct {
	Handlers    int64 // waiting
	Goroutines  int
	Descriptors int
}

// callContext has the parts of a handler's context.
type callContext struct {
	Metadata    map[string][]string
	HasDeadline bool
	Remaining   time.Duration
}

func serve(socket string) error {
	l, err := net.Listen(network(socket), socket)
	if err != nil {
		return err
	}
	s, err := ttrpc.NewServer(serverOptions...)
	if err != nil {
		return err
	}
	s.Register(peerService, map[string]ttrpc.Method{
		"Empty":     empty,
		"Payload":   payload,
		"Context":   reportContext,
		"Fail":      fail,
		"FailPlain": failPlain,
		"Wait":      wait,
		"Late":      late,
		"Release":   release,
		"Shutdown":  shutdown(s),
		"Stats":     reportStats,
	})
	registerStreams(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	if network(socket) == "tcp" {
		fmt.Println("ready", l.Addr()) // with the port that it got
	} else {
		fmt.Println("ready")
	}
	go func() {
		untilParentEnds()
		os.Exit(0)
	}()
	if err := <-served; err.Error() != ttrpc.ErrServerClosed.Error() {
		return err
	}
	select {} // Shutdown has more to do
}

func empty(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	if err := unmarshal(&emptyMsg{}); err != nil {
		return nil, err
	}
	return &emptyMsg{}, nil
}

// payload checks the request's bytes and answers with as many as it asks for.
func payload(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var req bytesMsg
	if err := unmarshal(&req); err != nil {
		return nil, err
	}
	resp, err := payloadResponse(req.Value)
	if err != nil {
		return nil, status.Error(codes.DataLoss, err.Error())
	}
	return &bytesMsg{Value: resp}, nil
}

func reportContext(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	if err := unmarshal(&emptyMsg{}); err != nil {
		return nil, err
	}
	return encodeContext(ctx)
}

func encodeContext(ctx context.Context) (*bytesMsg, error) {
	var c callContext
	c.Metadata, _ = ttrpc.GetMetadata(ctx)
	deadline, ok := ctx.Deadline()
	if ok {
		c.HasDeadline, c.Remaining = true, time.Until(deadline)
	}
	b, err := json.Marshal(c)
	return &bytesMsg{Value: b}, err
}

// fail ends with the status it was asked for.
func fail(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var req bytesMsg
	if err := unmarshal(&req); err != nil {
		return nil, err
	}
	return nil, decodeFailure(req.Value)
}

// plainErrors are errors that carry no status of their own.
var plainErrors = map[string]error{
	"errors.New": errors.New("some plain text"),
	"wrapped":    fmt.Errorf("doing it: %w", errors.New("some plain text")),
	"io.EOF":     io.EOF,
	"canceled":   context.Canceled,
	"deadline":   context.DeadlineExceeded,
	"not exist":  os.ErrNotExist,
	"exist":      os.ErrExist,
	"permission": os.ErrPermission,
}

func failPlain(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var req stringMsg
	if err := unmarshal(&req); err != nil {
		return nil, err
	}
	return nil, plainErrors[req.Value]
}

// wait ends when its context does.
func wait(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	if err := unmarshal(&emptyMsg{}); err != nil {
		return nil, err
	}
	atomic.AddInt64(&handlers, 1)
	defer atomic.AddInt64(&handlers, -1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// lateGate holds late handlers back; release closes and renews it.
var lateGate = struct {
	sync.Mutex
	open chan struct{}
}{open: make(chan struct{})}

// late answers when release is called, even if its context has ended before.
func late(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	if err := unmarshal(&emptyMsg{}); err != nil {
		return nil, err
	}
	lateGate.Lock()
	open := lateGate.open
	lateGate.Unlock()
	atomic.AddInt64(&handlers, 1)
	defer atomic.AddInt64(&handlers, -1)
	<-open
	return &emptyMsg{}, nil
}

func release(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	if err := unmarshal(&emptyMsg{}); err != nil {
		return nil, err
	}
	openLateGate()
	return &emptyMsg{}, nil
}

func openLateGate() {
	lateGate.Lock()
	defer lateGate.Unlock()
	close(lateGate.open)
	lateGate.open = make(chan struct{})
}

// shutdown ends the process as a daemon does that is told to: its Shutdown
// waits for the calls in flight, of which this is one, and then it exits.
func shutdown(s *ttrpc.Server) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		go func() {
			if err := s.Shutdown(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, "Shutdown:", err)
			}
			os.Exit(0)
		}()
		openLateGate()
		return payload(ctx, unmarshal)
	}
}

func reportStats(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	if err := unmarshal(&emptyMsg{}); err != nil {
		return nil, err
	}
	var descriptors []os.DirEntry
	if runtime.GOOS != "windows" {
		var err error
		if descriptors, err = os.ReadDir("/proc/self/fd"); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(stats{
		Handlers:    atomic.LoadInt64(&handlers),
		Goroutines:  runtime.NumGoroutine(),
		Descriptors: len(descriptors),
	})
	return &bytesMsg{Value: b}, err
}
