package socket

import (
	"context"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/sockaddr"
)

// Dial connects to an address and returns a client with the options:
//
//	/run/inventory.sock, unix:///run/inventory.sock    a path, absolute or relative
//	@inventory, unix://@inventory                      an abstract name, on Linux
//	tcp://localhost:7000                               a TCP port
//
// ctx limits only the time to connect. The error names the address and the mistake: a path
// that does not exist (it matches fs.ErrNotExist, and says whether the directory exists), a
// socket on which no server listens (syscall.ECONNREFUSED), a lack of permission
// (fs.ErrPermission), or a file that is not a socket. Any other error is from package net.
// Dial does not retry. Several goroutines may call it at once.
func Dial(ctx context.Context, address string, opts ...ttrpc.ClientOpts) (*ttrpc.Client, error) {
	conn, err := sockaddr.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return ttrpc.NewClient(conn, opts...), nil
}
