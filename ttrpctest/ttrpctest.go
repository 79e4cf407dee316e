// Package ttrpctest connects servers and clients in memory, for tests of services and of
// code that calls them:
//
//	server := ttrpctest.NewServer(t)
//	inventory.RegisterInventoryService(server, &stock{})
//	stub := inventory.NewInventoryClient(ttrpctest.NewClient(t, server))
//
// It needs no files and no ports, closes both ends when the test ends, and works in bubbles
// of testing/synctest.
package ttrpctest

import (
	"context"
	"net"
	"testing"

	"github.com/containerd/ttrpc"
)

// NewServer returns a server without services. The server is closed when the test and all
// its subtests have ended. An invalid option fails the test.
func NewServer(t testing.TB, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatalf("ttrpctest: %v", err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// NewClient returns a new client of the server, on a connection of its own. At the end of
// the test both ends are closed, and the test waits until the connection has ended on the
// server and the client's OnClose callback has returned. It does not wait for handlers that
// are still running; their contexts have ended.
func NewClient(t testing.TB, server *ttrpc.Server, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.ServeConn(context.Background(), theirs)
	}()
	client := ttrpc.NewClient(ours, opts...)
	t.Cleanup(func() {
		client.Close()
		client.UserOnCloseWait(context.Background())
		<-served
	})
	return client
}
