package socket

import (
	"context"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/sockaddr"
)

// Dial connects a client with the options to an address:
//
//	/run/inventory.sock, unix:///run/inventory.sock    a path, absolute or not
//	@inventory, unix://@inventory                      an abstract name, on Linux
//	tcp://localhost:7000                               a TCP port
//
// ctx limits the connecting alone. The error names the address and the mistake: no
// such path (errors.Is fs.ErrNotExist, and whether there is a directory for it), nobody
// listens (syscall.ECONNREFUSED), no permission (fs.ErrPermission), a file that is not a
// socket; otherwise it is that of package net. Dial does not try again. It may be called
// from several goroutines at once.
func Dial(ctx context.Context, address string, opts ...ttrpc.ClientOpts) (*ttrpc.Client, error) {
	conn, err := sockaddr.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return ttrpc.NewClient(conn, opts...), nil
}
