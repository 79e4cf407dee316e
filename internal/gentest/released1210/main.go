// A program as it was written for ttrpc v1.2.10, on code that this module's
// generator wrote: it serves two services and calls them over a pipe.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/released1210/unary"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type tasks struct{}

var _ unary.TasksService = tasks{}

func (tasks) Create(_ context.Context, r *unary.CreateRequest) (*unary.CreateResponse, error) {
	return &unary.CreateResponse{Pid: uint32(len(r.Labels[r.Id]))}, nil
}

func (tasks) Delete(context.Context, *unary.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (tasks) Stats(context.Context, *emptypb.Empty) (*unary.CreateResponse_Stats, error) {
	return &unary.CreateResponse_Stats{Values: []uint64{1, 2, 3}}, nil
}

func (tasks) Missing(_ context.Context, r *unary.DeleteRequest) (*emptypb.Empty, error) {
	return nil, status.Errorf(codes.NotFound, "no task %s", r.Id)
}

type events struct {
	forwarded chan uint32
}

func (e events) Forward(_ context.Context, r *unary.CreateResponse) (*emptypb.Empty, error) {
	e.forwarded <- r.Pid
	return &emptypb.Empty{}, nil
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	srv, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	e := events{forwarded: make(chan uint32, 1)}
	unary.RegisterTasksService(srv, tasks{})
	unary.RegisterEventsService(srv, e)

	clientConn, serverConn := net.Pipe()
	l := listener{conns: make(chan net.Conn, 1), closed: make(chan struct{}), once: new(sync.Once)}
	l.conns <- serverConn
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	client := ttrpc.NewClient(clientConn)

	var t unary.TasksService = unary.NewTasksClient(client)
	created, err := t.Create(ctx, &unary.CreateRequest{Id: "a", Labels: map[string]string{"a": "label"}})
	if err != nil || created.Pid != 5 {
		return fmt.Errorf("Create: got %v and error %v", created, err)
	}
	if _, err := t.Delete(ctx, &unary.DeleteRequest{Id: "a"}); err != nil {
		return fmt.Errorf("Delete: %w", err)
	}
	stats, err := t.Stats(ctx, &emptypb.Empty{})
	if err != nil || len(stats.Values) != 3 {
		return fmt.Errorf("Stats: got %v and error %v", stats, err)
	}
	if _, err := t.Missing(ctx, &unary.DeleteRequest{Id: "a"}); status.Code(err) != codes.NotFound {
		return fmt.Errorf("Missing: got error %v, want NotFound", err)
	}
	if _, err := unary.NewEventsClient(client).Forward(ctx, created); err != nil {
		return fmt.Errorf("Forward: %w", err)
	}
	if pid := <-e.forwarded; pid != created.Pid {
		return fmt.Errorf("forwarded %d, want %d", pid, created.Pid)
	}

	if err := client.Close(); err != nil {
		return err
	}
	if err := srv.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
		return fmt.Errorf("Serve: %w", err)
	}
	return nil
}

// listener accepts one connection.
type listener struct {
	conns  chan net.Conn
	closed chan struct{} // closed by Close
	once   *sync.Once
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, errors.New("listener closed")
	}
}

func (l listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
