//go:build !windows

package address

import (
	"context"
	"net"
	"runtime"
)

func dialPipe(_ context.Context, addr string) (net.Conn, error) {
	return nil, syntaxErrorf("npipe://%s: there are no named pipes of this kind on %s", addr, runtime.GOOS)
}

func listenPipe(addr string) (net.Listener, error) {
	_, err := dialPipe(context.Background(), addr)
	return nil, err
}
