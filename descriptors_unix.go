//go:build unix && !linux

package ttrpc

import "net"

// refuseDescriptors does nothing: these systems accept descriptors from every peer and
// close them at the read.
func refuseDescriptors(net.Conn) (refused, none bool) { return false, false }

// refuseDescriptors does nothing.
func (s *Server) refuseDescriptors(net.Listener) {}

// shutUnix shuts a Unix socket down. Whether it is empty for good is not known.
func shutUnix(sock *net.UnixConn) (empty bool) {
	shutSocket(sock)
	return false
}

// receive is read(2).
func receive(fd int, b []byte) (int, error) { return sysRead(fd, b) }
