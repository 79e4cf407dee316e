// Package address connects to the addresses of the command line and listens on them.
package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/containerd/ttrpc/internal/sockaddr"
	"github.com/containerd/ttrpc/socket"
)

// ErrSyntax is in the chain of errors about the text of an address.
var ErrSyntax = errors.New("ttrpc: not an address")

// network is a way to connect. listen is nil where nobody can.
type network struct {
	dial   func(ctx context.Context, addr string) (net.Conn, error)
	listen func(addr string) (net.Listener, error)
}

// networks are those with a scheme, by its name.
var networks = map[string]network{
	"unix":   {dialUnix, listenUnix},
	"tcp":    {dialTCP, listenTCP},
	"vsock":  {dialVsock, listenVsock},
	"hvsock": {dialHybrid, nil},
	"npipe":  {dialPipe, listenPipe},
}

// Dial connects to an address, of which the help of the command has a list. An error about
// the text of the address matches ErrSyntax; any other names the address and the reason,
// such as that a socket's directory does not exist. ctx limits the connecting alone.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	n, addr, err := parse(address)
	if err != nil {
		return nil, err
	}
	return n.dial(ctx, addr)
}

// Listen listens on an address. Its errors are as those of Dial.
func Listen(address string) (net.Listener, error) {
	n, addr, err := parse(address)
	if err != nil {
		return nil, err
	}
	if n.listen == nil {
		return nil, syntaxErrorf("%s: nobody can listen there", address)
	}
	return n.listen(addr)
}

// Check returns an error that matches ErrSyntax unless address may be one.
func Check(address string) error {
	_, _, err := parse(address)
	return err
}

func parse(address string) (network, string, error) {
	scheme, addr, ok := strings.Cut(address, "://")
	switch {
	case strings.HasPrefix(address, `\\`):
		scheme, addr = "npipe", address
	case !ok:
		scheme, addr = "unix", address
	}
	n, known := networks[scheme]
	switch {
	case !known:
		return n, "", syntaxErrorf("%q: the scheme is none of unix, tcp, vsock, hvsock and npipe", address)
	case addr == "":
		return n, "", syntaxErrorf("%q is empty", address)
	case strings.ContainsRune(addr, 0):
		return n, "", syntaxErrorf("%q has a zero byte", address)
	}
	var err error
	switch scheme {
	case "tcp":
		if _, _, splitErr := net.SplitHostPort(addr); splitErr != nil {
			err = syntaxErrorf("%s: HOST:PORT is needed: %v", address, splitErr)
		}
	case "vsock":
		_, _, err = splitVsock(addr)
	case "hvsock":
		_, _, err = splitHybrid(addr)
	case "unix":
		if nameErr := sockaddr.CheckName(addr); nameErr != nil {
			err = fmt.Errorf("%w: %w", ErrSyntax, nameErr)
		}
	}
	return n, addr, err
}

func syntaxErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSyntax, fmt.Errorf(format, args...))
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	return sockaddr.Dial(ctx, "unix://"+path)
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return sockaddr.Dial(ctx, "tcp://"+addr)
}

func listenUnix(path string) (net.Listener, error) { return socket.ListenUnix(path) }

func listenTCP(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// splitVsock splits "cid:port"; both are numbers of 32 bits.
func splitVsock(addr string) (cid, port uint32, err error) {
	left, right, _ := strings.Cut(addr, ":")
	c, err := strconv.ParseUint(left, 10, 32)
	if err == nil {
		port, err = parsePort(right)
	}
	if err != nil {
		return 0, 0, syntaxErrorf("vsock://%s: CID:PORT is needed, two numbers", addr)
	}
	return uint32(c), port, nil
}

func parsePort(s string) (uint32, error) {
	port, err := strconv.ParseUint(s, 10, 32)
	return uint32(port), err
}
