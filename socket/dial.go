package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containerd/ttrpc"
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
	network, addr, err := split(address)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("ttrpc: cannot connect to %s: %w", address, explain(network, addr, err))
	}
	return ttrpc.NewClient(conn, opts...), nil
}

// split returns the network and the address for package net.
func split(address string) (network, addr string, err error) {
	network, addr, ok := strings.Cut(address, "://")
	if !ok {
		network, addr = "unix", address
	}
	switch {
	case network != "unix" && network != "tcp":
		return "", "", fmt.Errorf("ttrpc: address %q: a path, @name, unix:// or tcp:// is needed", address)
	case addr == "":
		return "", "", fmt.Errorf("ttrpc: address %q is empty", address)
	case network == "unix":
		err = checkName(addr)
	}
	return network, addr, err
}

// checkName refuses abstract names where the system has none: there they would be paths.
func checkName(name string) error {
	if isAbstract(name) && !hasAbstract {
		return fmt.Errorf("ttrpc: %s: there are no abstract sockets on %s", name, runtime.GOOS)
	}
	return nil
}

func isAbstract(name string) bool { return strings.HasPrefix(name, "@") }

const hasAbstract = runtime.GOOS == "linux" || runtime.GOOS == "android"

// explain says in words why connecting failed. Some systems give the same error for
// several reasons, so it looks at the file as well.
func explain(network, addr string, err error) error {
	switch {
	case network == "unix" && !isAbstract(addr):
		return explainPath(addr, err)
	case isRefused(err):
		return fmt.Errorf("nobody listens: %w", err)
	}
	return err
}

func explainPath(path string, err error) error {
	info, statErr := os.Lstat(path)
	if statErr == nil && info.Mode()&fs.ModeSymlink != 0 {
		info, statErr = os.Stat(path)
	}
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		dir := filepath.Dir(path)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no such path, and no directory %s: %w", dir, statErr)
		}
		return fmt.Errorf("no such path: no server has made it, or it has been removed: %w", statErr)
	case errors.Is(statErr, fs.ErrPermission):
		return fmt.Errorf("permission denied for a directory on the way: %w", err)
	case isTooLong(err):
		return fmt.Errorf("%d bytes are too long for the path of a socket: %w", len(path), err)
	case statErr == nil && !isSocket(info):
		return fmt.Errorf("the file is not a socket, but %v: %w", info.Mode().Type(), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("permission denied: the socket has the mode %v, and connecting needs w: %w", info.Mode().Perm(), err)
	case isRefused(err):
		return fmt.Errorf("nobody listens: the server that made the socket has ended: %w", err)
	}
	return err
}

// isSocket reports whether a file may be a socket. Not every version of Go and Windows
// tells them from other irregular files.
func isSocket(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeSocket != 0 || info.Mode()&fs.ModeIrregular != 0
}

func isRefused(err error) bool {
	for _, refused := range refusedErrors {
		if errors.Is(err, refused) {
			return true
		}
	}
	return false
}

func isTooLong(err error) bool {
	for _, tooLong := range tooLongErrors {
		if errors.Is(err, tooLong) {
			return true
		}
	}
	return false
}
