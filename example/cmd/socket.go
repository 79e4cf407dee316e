package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
)

func isRefused(err error) bool {
	for _, refused := range connectionRefused {
		if errors.Is(err, refused) {
			return true
		}
	}
	return false
}

// listen makes the socket. One that a server left behind when it was killed is
// replaced; one that is in use, or a file of another kind, is not touched.
func listen(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("cannot listen on %s: %d bytes are too long for the path of a socket", path, len(path))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("a server listens on %s already", path)
	}
	if !isRefused(err) {
		return fmt.Errorf("cannot tell whether a server listens: %w", err)
	}
	return os.Remove(path)
}

// dial connects a client, whose calls are counted.
func dial(path string) (*ttrpc.Client, *callLog, error) {
	conn, err := net.Dial("unix", path)
	if errors.Is(err, fs.ErrNotExist) || isRefused(err) {
		return nil, nil, fmt.Errorf("no server listens on %s (start one: go run ./example/cmd server -socket %[1]s)", path)
	}
	if err != nil {
		return nil, nil, err
	}
	calls := &callLog{}
	client := ttrpc.NewClient(conn,
		ttrpc.WithUnaryClientInterceptor(calls.unary),
		ttrpc.WithStreamClientInterceptor(calls.stream))
	return client, calls, nil
}
