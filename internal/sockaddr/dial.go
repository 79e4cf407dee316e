// Package sockaddr dials the addresses of sockets and adds reasons, in words, to errors. Package
// socket and the command ttrpc use it.
package sockaddr

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
)

// Dial connects to an address: a path, @name, unix:// with either, or tcp://. See
// socket.Dial for the addresses and the errors.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	network, addr, err := split(address)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("ttrpc: cannot connect to %s: %w", address, Explain(network, addr, err))
	}
	return conn, nil
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
		err = CheckName(addr)
	}
	return network, addr, err
}

// CheckName refuses abstract names on systems without them, where they would be paths.
func CheckName(name string) error {
	if IsAbstract(name) && !hasAbstract {
		return fmt.Errorf("ttrpc: %s: there are no abstract sockets on %s", name, runtime.GOOS)
	}
	return nil
}

// IsAbstract reports whether the name of a socket is abstract rather than a path.
func IsAbstract(name string) bool { return strings.HasPrefix(name, "@") }

const hasAbstract = runtime.GOOS == "linux" || runtime.GOOS == "android"

// Explain adds the reason, in words, to the error of a failed connect. Some systems return
// the same error for several reasons, so Explain also examines the file.
func Explain(network, addr string, err error) error {
	switch {
	case network == "unix" && !IsAbstract(addr):
		return explainPath(addr, err)
	case IsRefused(err):
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
	case IsTooLong(err):
		return fmt.Errorf("%d bytes are too long for the path of a socket: %w", len(path), err)
	case statErr == nil && !IsSocket(info):
		return fmt.Errorf("the file is not a socket, but %v: %w", info.Mode().Type(), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("permission denied: the socket has the mode %v, and connecting needs w: %w", info.Mode().Perm(), err)
	case IsRefused(err):
		return fmt.Errorf("nobody listens: the server that made the socket has ended: %w", err)
	}
	return err
}

// IsSocket reports whether a file may be a socket. Some versions of Go and Windows do not
// tell sockets from other irregular files.
func IsSocket(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeSocket != 0 || info.Mode()&fs.ModeIrregular != 0
}

// IsRefused reports whether err says that no server listens.
func IsRefused(err error) bool {
	for _, refused := range refusedErrors {
		if errors.Is(err, refused) {
			return true
		}
	}
	return false
}

// IsTooLong reports whether err may say that a path is too long.
func IsTooLong(err error) bool {
	for _, tooLong := range tooLongErrors {
		if errors.Is(err, tooLong) {
			return true
		}
	}
	return false
}
