//go:build unix

package ttrpc_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/inventory"
	"github.com/containerd/ttrpc/socket"
)

// watch is the handler of an endless stream, which ends when the server shuts down.
func watch(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	for n := int64(1); ; n++ {
		if err := stream.SendMsg(&inventory.Item{Count: n}); err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Hour):
		case <-ttrpc.ShutdownNotice(ctx):
			return &inventory.Item{Name: "bye"}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// serveUntilSignal serves until SIGTERM or an interrupt, and then lets calls finish for at
// most ten seconds.
func serveUntilSignal(path string, ready chan<- struct{}) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService("example.Watcher", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Watch": {Handler: watch, StreamingServer: true},
	}})
	l, err := socket.ListenUnix(path, socket.WithMode(0o660))
	if err != nil {
		return err
	}
	signaled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	shutdown := make(chan error, 1)
	go func() {
		<-signaled.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := server.Shutdown(ctx)
		server.Close() // ends the calls that are left
		shutdown <- err
	}()
	close(ready)
	// Not with signaled: its end would end the handlers.
	if err := server.Serve(context.Background(), l); err != ttrpc.ErrServerClosed {
		return err
	}
	return <-shutdown
}

// The server ends at SIGTERM without cutting off its calls.
func ExampleShutdownNotice() {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	ready, served := make(chan struct{}), make(chan error)
	go func() { served <- serveUntilSignal(path, ready) }()
	<-ready

	client, err := socket.Dial(context.Background(), path)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	stream, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true}, "example.Watcher", "Watch", &inventory.Item{})
	for err == nil {
		var item inventory.Item
		if err = stream.RecvMsg(&item); err == nil {
			fmt.Printf("message %d %q\n", item.Count, item.Name)
		}
		if item.Count == 1 {
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}
	}
	fmt.Println("stream:", err)
	fmt.Println("server:", <-served)
	// Output:
	// message 1 ""
	// message 0 "bye"
	// stream: EOF
	// server: <nil>
}
