package address

import (
	"context"
	"fmt"
	"net"
	"strings"

	winio "github.com/Microsoft/go-winio"
)

// pipePath returns the path of npipe:////./pipe/name, npipe://name or \\.\pipe\name.
func pipePath(addr string) string {
	path := strings.ReplaceAll(addr, "/", `\`)
	if !strings.HasPrefix(path, `\\`) {
		path = `\\.\pipe\` + strings.TrimPrefix(strings.TrimLeft(path, `\`), `pipe\`)
	}
	return path
}

func dialPipe(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := winio.DialPipeContext(ctx, pipePath(addr))
	if err != nil {
		return nil, fmt.Errorf("ttrpc: cannot connect to %s: %w", pipePath(addr), err)
	}
	return conn, nil
}

// listenPipe makes a pipe with the system's default permissions: the user, administrators
// and the system.
func listenPipe(addr string) (net.Listener, error) {
	l, err := winio.ListenPipe(pipePath(addr), nil)
	if err != nil {
		return nil, fmt.Errorf("ttrpc: cannot listen on %s: %w", pipePath(addr), err)
	}
	return l, nil
}
