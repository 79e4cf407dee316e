package ttrpc

import (
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A peer may pass descriptors along with its bytes (SCM_RIGHTS in unix(7)). The protocol
// has no use for them. A plain read(2) closes them, and that close may take as long as the
// peer likes: a TCP socket with unsent data and SO_LINGER is enough. The package therefore
// tells the kernel to refuse descriptors. If the kernel cannot, or may have accepted some
// before, recvmsg(2) reads the socket and hands the descriptors over, which end the
// connection.

// soPassRights is SO_PASSRIGHTS of Linux 6.16, which x/sys does not know yet.
const soPassRights = 83

// setPassRights makes the kernel refuse the descriptors that a peer passes to a Unix
// socket: the peer gets EPERM. The sockets that a listener accepts inherit the setting.
// setPassRights reports whether the kernel supports it.
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

// refuseDescriptors makes the kernel refuse descriptors for a Unix socket, also one below
// TLS. It reports whether the kernel does, false for other connections, and whether no
// descriptor can have come before: the listener has refused them, or a client's socket is
// empty. The empty socket of a server proves nothing: a Handshaker that has given up may
// still be reading, in a system call that closes the descriptors of a hostile peer.
func refuseDescriptors(nc net.Conn, isClient bool) (refused, none bool) {
	sock, ok := kernelSocket(nc).(*net.UnixConn)
	if !ok {
		return false, false
	}
	raw, err := sock.SyscallConn()
	if err != nil {
		return false, false
	}
	raw.Control(func(fd uintptr) {
		if isClient {
			refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights, 0) == nil
			none = refused && isStream(sock) && isEmpty(fd)
			return
		}
		rights, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights)
		none = err == nil && rights == 0
		refused = none || unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights, 0) == nil
	})
	return refused, none
}

// isStream reports whether sock is a stream socket. A packet may have descriptors and no
// bytes.
func isStream(sock *net.UnixConn) bool {
	addr := sock.LocalAddr()
	return addr != nil && addr.Network() == "unix"
}

// isEmpty reports whether a Unix stream socket has no bytes to read, and so no descriptors,
// which come with bytes.
func isEmpty(fd uintptr) bool {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	return err == nil && n == 0
}

// refuseDescriptors calls setPassRights for a listener of Unix sockets, so that a peer can
// pass nothing before its connection is accepted. It does nothing if the server has a
// handshaker of the user's, which may want descriptors.
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

// maxPassed is SCM_MAX_FD of the kernel, the most descriptors that come with one read.
const maxPassed = 253

// controlLength is the room for maxPassed descriptors, and for credentials, which a
// handshaker may have asked for.
const controlLength = 16 + 4*maxPassed + 256

// sysRecvmsg is the system call. Only tests replace it, as they do sysRead.
var sysRecvmsg = (*receiver).recvmsg

// A receiver holds the arguments of recvmsg(2), which are large for the stack of a read
// loop.
type receiver struct {
	msg     unix.Msghdr
	iov     unix.Iovec
	control [controlLength]byte
}

var receivers = sync.Pool{New: func() any { return new(receiver) }}

// receive is read(2) for a socket whose peer may pass descriptors. It fails if the peer has
// passed any.
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

// refuse closes the descriptors that have arrived, and reports whether there were any.
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

// closePassed is the goroutine that closes the descriptors that a peer has passed. It ends
// when all of them are closed. The close of a socket does not wait once SO_LINGER is off;
// the close of a file may wait for a filesystem of the peer's.
func closePassed(fds []int) {
	for _, fd := range fds {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
		unix.Close(fd)
	}
}
