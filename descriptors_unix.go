//go:build unix && !linux

package ttrpc

import "net"

// refuseDescriptors does nothing: these systems accept descriptors from every peer and
// close them at the read.
func refuseDescriptors(net.Conn, bool) (refused, none bool) { return false, false }

// refuseDescriptors does nothing.
func (s *Server) refuseDescriptors(net.Listener) {}

// receive is read(2).
func receive(fd int, b []byte) (int, error) { return sysRead(fd, b) }
