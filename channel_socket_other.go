//go:build !unix

package ttrpc

import "net"

// socket is for systems whose sockets cannot be polled by hand: every
// connection takes the path of those that are not kernel sockets.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) readChunk() (*buffer, error) { panic("BUG: ttrpc: no sockets here") }

func (*socket) tryWrite([]byte) (int, error) { panic("BUG: ttrpc: no sockets here") }
