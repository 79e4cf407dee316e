// Package ttrpctest connects servers and clients in memory, for tests of services and
// of code that uses them:
//
//	server := ttrpctest.NewServer(t)
//	inventory.RegisterInventoryService(server, &stock{})
//	stub := inventory.NewInventoryClient(ttrpctest.NewClient(t, server))
//
// There are no files and no ports, both ends are closed when the test ends, and it works
// in the bubbles of testing/synctest.
package ttrpctest

import (
	"context"
	"net"
	"testing"

	"github.com/containerd/ttrpc"
)

// NewServer returns a server with nothing registered. It is closed when the test, and
// all its subtests, have ended. Options that it refuses fail the test.
func NewServer(t testing.TB, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatalf("ttrpctest: %v", err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// NewClient returns a client of the server, on a connection of its own. At the end of
// the test both ends are closed, and the test waits until the server has let go of the
// connection and the client's OnClose callback has returned. Handlers that still run
// then are not waited for; their contexts have ended. Each call makes another client.
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
