//go:build unix

package ttrpc

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket reads and writes a kernel's stream socket in ways that net.Conn lacks: it takes
// a read buffer only when there is something to read, and can write without waiting.
//
// The goroutine that reads, the read loop or a leader, owns the reading side, and the
// flusher owns the writing side. The functions for syscall.RawConn are made once, and their
// arguments are fields, to avoid garbage.
type socket struct {
	raw syscall.RawConn
	w   *writer // has the net.Conn

	onReadable func(fd uintptr) bool
	into       []byte // for read; nil for a chunk
	nRead      int
	chunk      *buffer
	readErr    error

	// passing is set while descriptors may come with the peer's bytes: see receive. If the
	// kernel refuses descriptors, passing is cleared once all earlier bytes have been read.
	passing bool
	refuses bool // the kernel refuses descriptors from now on

	wait       bool // until all of out is written
	onWritable func(fd uintptr) bool
	out        []byte // still to be written
	writeErr   error
}

// sysRead and sysWrite are the system calls. Only tests replace them, before they start, to
// inject faults.
var sysRead, sysWrite = syscall.Read, syscall.Write

// unblock puts a kernel socket, also one below TLS, into non-blocking mode. If the program
// has called os.File.Fd on a duplicate, for example to read an option, the socket itself is
// in blocking mode, in which no context could end a waiting read or write.
func unblock(nc net.Conn) {
	sock := kernelSocket(nc)
	if sock == nil {
		return
	}
	if raw, err := sock.(syscall.Conn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.SetNonblock(int(fd), true) })
	}
}

// kernelSocket returns nc, or the connection below its layers, if it is a *net.UnixConn or
// *net.TCPConn, otherwise nil.
func kernelSocket(nc net.Conn) net.Conn {
	for i := 0; i < 10; i++ { // a layer may return itself: stop after ten
		switch sock := nc.(type) {
		case *net.UnixConn, *net.TCPConn:
			return nc
		case interface{ NetConn() net.Conn }: // as *tls.Conn
			nc = sock.NetConn()
		default:
			return nil
		}
	}
	return nil
}

// newSocket returns a socket for nc, or nil if nc is not a stream socket of the kernel. It
// requires the exact types: a type that embeds one may have its own Read and Write.
func newSocket(nc net.Conn) *socket {
	var sc syscall.Conn
	unix := false
	switch nc := nc.(type) {
	case *net.UnixConn:
		if addr := nc.LocalAddr(); addr == nil || addr.Network() != "unix" {
			return nil // a packet socket: a short read would truncate a packet
		}
		sc, unix = nc, true
	case *net.TCPConn:
		sc = nc
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw, passing: unix}
	s.onReadable = s.readable
	s.onWritable = s.writable
	return s
}

// readChunk waits until there is something to read, and reads it into a new buffer, which
// the caller owns.
func (sk *socket) readChunk() (*buffer, error) {
	err := sk.rawRead(nil)
	return sk.chunk, err
}

// read waits until there is something to read, and reads it into b.
func (sk *socket) read(b []byte) (int, error) {
	err := sk.rawRead(b)
	return sk.nRead, err
}

func (sk *socket) rawRead(into []byte) error {
	sk.into, sk.nRead, sk.chunk, sk.readErr = into, 0, nil, nil
	err := sk.raw.Read(sk.onReadable)
	sk.into = nil
	if sk.readErr != nil {
		return sk.readErr
	}
	return err
}

// readable is the function for raw.Read. It reports whether the read is over.
func (sk *socket) readable(fd uintptr) bool {
	b := sk.into
	var chunk *buffer
	if b == nil {
		chunk = getBuffer(readChunkLength)
		b = chunk.b[:readChunkLength]
	}
	var n int
	var err error
	if sk.passing {
		n, err = sk.readPassing(int(fd), b)
	} else {
		n, err = ignoringEINTR(sysRead, int(fd), b)
	}
	if n > 0 {
		sk.nRead = n
		if chunk != nil {
			chunk.b = b[:n]
			sk.chunk = chunk
		}
		return true
	}
	chunk.release()
	switch err {
	case syscall.EAGAIN:
		return false // wait, holding nothing
	case nil:
		sk.readErr = io.EOF
	default:
		sk.readErr = readError(err)
	}
	return true
}

// readPassing reads the available bytes of a socket whose peer may pass descriptors.
//
//go:noinline
func (sk *socket) readPassing(fd int, b []byte) (int, error) {
	if !sk.refuses {
		return sk.receive(fd, b)
	}
	return sk.receiveApart(fd, b)
}

// receiveApart calls receive on a goroutine of its own and waits for it: otherwise the first
// reads of a connection would double the stack of its read loop for good. The results are
// on the heap, so receiveApart does not suit sockets whose passing stays set.
func (sk *socket) receiveApart(fd int, b []byte) (n int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = sk.receive(fd, b)
	}()
	<-done
	return n, err
}

// receive implements readPassing. It clears passing when no descriptors can come any more.
func (sk *socket) receive(fd int, b []byte) (n int, err error) {
	n, err = ignoringEINTR(receive, fd, b)
	switch err {
	case syscall.EAGAIN:
		sk.passing = !sk.refuses
	case syscall.ENOSYS, syscall.EPERM: // a sandbox without recvmsg(2)
		sk.passing = false
		n, err = ignoringEINTR(sysRead, fd, b)
	}
	return n, err
}

// readError wraps the errno of a read, except EAGAIN.
func readError(err error) error {
	if errno, ok := err.(syscall.Errno); ok && errno != syscall.EAGAIN {
		return os.NewSyscallError("read", err)
	}
	return err
}

// tryWrite writes as much of b as the kernel accepts without waiting.
func (sk *socket) tryWrite(b []byte) (int, error) {
	sk.wait = false
	return sk.rawWrite(b)
}

// write writes all of b, for as long as it takes, and returns the number of bytes written.
func (sk *socket) write(b []byte) (int, error) {
	sk.wait = true
	return sk.rawWrite(b)
}

func (sk *socket) rawWrite(b []byte) (int, error) {
	sk.out, sk.writeErr = b, nil
	err := sk.raw.Write(sk.onWritable)
	for errors.Is(err, os.ErrDeadlineExceeded) { // not our deadline: remove it
		sk.w.conn.SetWriteDeadline(time.Time{})
		err = sk.raw.Write(sk.onWritable)
	}
	written := len(b) - len(sk.out)
	sk.out = nil
	if sk.writeErr != nil {
		err = sk.writeErr
	}
	return written, err
}

// writable is the function for raw.Write. It reports whether the write is over.
func (sk *socket) writable(fd uintptr) bool {
	for len(sk.out) > 0 {
		n, err := ignoringEINTR(sysWrite, int(fd), sk.out)
		if err == syscall.EAGAIN {
			if sk.wait {
				sk.w.stuckSince.Store(clock())
			}
			return !sk.wait
		}
		if sk.wait {
			sk.w.stuckSince.Store(0)
		}
		if err != nil {
			sk.writeErr = os.NewSyscallError("write", err)
			return true
		}
		sk.out = sk.out[n:]
		sk.w.progress.Add(1)
	}
	return true
}

// hungUp reports whether the peer has closed the socket, so that reading comes to an end. It
// does not wait. Some systems never report it.
func (sk *socket) hungUp() (hungUp bool) {
	sk.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // macOS reports nothing unasked
		unix.Poll(fds, 0)                                          // after an error Revents is 0
		hungUp = fds[0].Revents&unix.POLLHUP != 0
	})
	return hungUp
}

func ignoringEINTR(call func(int, []byte) (int, error), fd int, b []byte) (int, error) {
	for {
		if n, err := call(fd, b); err != syscall.EINTR {
			return n, err
		}
	}
}
