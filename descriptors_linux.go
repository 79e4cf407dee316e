package ttrpc

import (
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A peer may pass descriptors along with its bytes (SCM_RIGHTS in unix(7)). The protocol
// has no use for them, and read(2) closes them: it waits there for as long as the peer
// has arranged, by a TCP socket with unsent data and SO_LINGER. So the kernel is to
// refuse them, and where it does not know how, or may have taken some before, a socket
// is read by recvmsg(2), which hands them over. They end the connection.

// soPassRights is SO_PASSRIGHTS of Linux 6.16, which x/sys does not know yet.
const soPassRights = 83

// setPassRights has the kernel fail a peer's attempt to pass descriptors to a unix socket
// with EPERM. Sockets that a listener accepts are as it is. It reports whether the
// kernel knows how.
func setPassRights(sc syscall.Conn) bool {
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	refused := false
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights, 0) == nil
	})
	return err == nil && refused
}

// refuseDescriptors is setPassRights for a connection, also below TLS, and does nothing
// unless that is a unix socket.
func refuseDescriptors(nc net.Conn) bool {
	sock, ok := kernelSocket(nc).(*net.UnixConn)
	return ok && setPassRights(sock)
}

// refuseDescriptors is setPassRights for a listener of unix sockets: a peer can pass
// nothing before its connection is accepted. A handshaker other than one of ours may
// want some.
func (s *Server) refuseDescriptors(l net.Listener) {
	_, ours := s.cfg.handshaker.(UnixCredentialsFunc)
	sc, ok := l.(syscall.Conn)
	if s.cfg.conn.passing || !ok || s.cfg.handshaker != nil && !ours {
		return
	}
	if addr := l.Addr(); addr != nil && (addr.Network() == "unix" || addr.Network() == "unixpacket") {
		setPassRights(sc)
	}
}

// maxPassed is SCM_MAX_FD of the kernel: no more descriptors come with one read.
const maxPassed = 253

// controlLength is room for those, and for credentials, which a handshaker may have
// asked for.
const controlLength = 16 + 4*maxPassed + 256

// sysRecvmsg is a system call as sysRead is.
var sysRecvmsg = (*receiver).recvmsg

// A receiver has the arguments of recvmsg(2), which are large for the stack of a read loop.
type receiver struct {
	msg     unix.Msghdr
	iov     unix.Iovec
	control [controlLength]byte
}

var receivers = sync.Pool{New: func() any { return new(receiver) }}

// receive is read(2) for a socket that may get descriptors from its peer: then it fails.
func receive(fd int, b []byte) (n int, err error) {
	r := receivers.Get().(*receiver)
	n, err = sysRecvmsg(r, fd, b)
	acquireRead(fd)
	if err == nil && r.msg.Controllen > 0 && r.refuse() {
		n, err = 0, errProtocol("the peer passed descriptors")
	}
	r.iov.Base = nil
	receivers.Put(r)
	return n, err
}

// recvmsg reads bytes into b and control messages into r.
func (ra *receiver) recvmsg(fd int, b []byte) (int, error) {
	ra.iov.Base = &b[0]
	ra.iov.SetLen(len(b))
	ra.msg = unix.Msghdr{Iov: &ra.iov, Control: &ra.control[0]}
	ra.msg.SetIovlen(1)
	ra.msg.SetControllen(controlLength)
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&ra.msg)), unix.MSG_CMSG_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// refuse closes the descriptors that have come, and reports whether there were any.
//
//go:noinline
func (ra *receiver) refuse() bool {
	passed := passedDescriptors(ra.control[:ra.msg.Controllen])
	if len(passed) == 0 {
		return false
	}
	go closePassed(passed)
	return true
}

// passedDescriptors returns the descriptors of control messages.
func passedDescriptors(control []byte) (passed []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			passed = append(passed, fds...)
		}
	}
	return passed
}

// closePassed is the goroutine that closes descriptors that a peer passed. The close of
// a socket does not wait then; that of a file may, for a filesystem of the peer's: the
// goroutine ends when all of them are closed.
func closePassed(fds []int) {
	for _, fd := range fds {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
		unix.Close(fd)
	}
}
