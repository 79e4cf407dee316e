//go:build !unix

package ttrpc

import "net"

// newSocket returns nil on systems without raw access to sockets: every connection takes
// the path of connections that are not kernel sockets.
type socket struct {
	w                *writer
	refuses, passing bool
}

func newSocket(net.Conn) *socket { return nil }

func (*socket) readChunk() (*buffer, error) { panic("BUG: ttrpc: no sockets here") }

func (*socket) read([]byte) (int, error) { panic("BUG: ttrpc: no sockets here") }

func (*socket) write([]byte) (int, error) { panic("BUG: ttrpc: no sockets here") }

func (*socket) tryWrite([]byte) (int, error) { panic("BUG: ttrpc: no sockets here") }

func (*socket) hungUp() bool { panic("BUG: ttrpc: no sockets here") }

// unblock does nothing: sockets have no mode that others could change.
func unblock(net.Conn) {}

// refuseDescriptors does nothing: these systems pass no descriptors.
func refuseDescriptors(net.Conn, bool) (refused, none bool) { return false, false }

// refuseDescriptors does nothing.
func (s *Server) refuseDescriptors(net.Listener) {}
