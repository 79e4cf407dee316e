//go:build unix

package ttrpc

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A socket reads and writes a kernel's stream socket without net.Conn's
// habits: it takes a read buffer only when there is something to read, and
// writes without waiting.
//
// Its reading side belongs to the read loop and its writing side to
// the flusher. The functions that it gives to syscall.RawConn are made once,
// and their arguments are fields, to spare the garbage.
type socket struct {
	raw syscall.RawConn
	w   *writer // which has the connection, too

	onReadable func(fd uintptr) bool
	into       []byte // for read; nil for a chunk
	nRead      int
	chunk      *buffer
	readErr    error

	// passing is set while descriptors of the peer's may be among its bytes: see
	// receive. It ends when all that came before the kernel refused them is read.
	passing bool
	refuses bool // the kernel refuses more of them

	wait       bool // until all of out is written
	onWritable func(fd uintptr) bool
	out        []byte // still to be written
	writeErr   error
}

// sysRead and sysWrite are the system calls. Only tests, which set them before they
// start, have others, to inject faults.
var sysRead, sysWrite = syscall.Read, syscall.Write

// unblock puts a socket of the kernel, also below TLS, into non-blocking mode.
// os.File.Fd, called on a duplicate to ask for an option of the socket, has put the
// socket itself into the other one, in which no context ends the waiting of a read or a
// write.
func unblock(nc net.Conn) {
	sock := kernelSocket(nc)
	if sock == nil {
		return
	}
	if raw, err := sock.(syscall.Conn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.SetNonblock(int(fd), true) })
	}
}

// kernelSocket returns the *net.UnixConn or *net.TCPConn that nc is, or that is below it,
// else nil.
func kernelSocket(nc net.Conn) net.Conn {
	for i := 0; i < 10; i++ { // layers, and an end for one that returns itself
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

// newSocket returns nil when nc is not a stream socket of the kernel. It asks
// for the exact types: a type that embeds one may have a Read and a Write of
// its own.
func newSocket(nc net.Conn) *socket {
	var sc syscall.Conn
	unix := false
	switch nc := nc.(type) {
	case *net.UnixConn:
		if addr := nc.LocalAddr(); addr == nil || addr.Network() != "unix" {
			return nil // packets, which a short read would cut
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

// readChunk waits until there is something to read and returns it in a buffer
// of the caller's.
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

func (sk *socket) readable(fd uintptr) bool {
	b := sk.into
	var chunk *buffer
	if b == nil {
		chunk = getBuffer(readChunkLength)
		b = chunk.b[:readChunkLength]
	}
	n, err := sk.readNow(int(fd), b)
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
		sk.readErr = err
	}
	return true
}

// readNow reads the bytes that are there, without waiting.
func (sk *socket) readNow(fd int, b []byte) (n int, err error) {
	if sk.passing {
		n, err = ignoringEINTR(receive, fd, b)
		switch err {
		case syscall.EAGAIN:
			sk.passing = !sk.refuses
			return n, err
		case syscall.ENOSYS, syscall.EPERM: // a sandbox without recvmsg(2)
			sk.passing = false
		default:
			return n, readError(err)
		}
	}
	n, err = ignoringEINTR(sysRead, fd, b)
	return n, readError(err)
}

// readError makes an error of a system call one of reading.
func readError(err error) error {
	if errno, ok := err.(syscall.Errno); ok && errno != syscall.EAGAIN {
		return os.NewSyscallError("read", err)
	}
	return err
}

// tryWrite writes as much of b as the kernel takes at once.
func (sk *socket) tryWrite(b []byte) (int, error) {
	sk.wait = false
	return sk.rawWrite(b)
}

// write writes all of b, waiting as long as it takes, and returns how much is out.
func (sk *socket) write(b []byte) (int, error) {
	sk.wait = true
	return sk.rawWrite(b)
}

func (sk *socket) rawWrite(b []byte) (int, error) {
	sk.out, sk.writeErr = b, nil
	err := sk.raw.Write(sk.onWritable)
	for errors.Is(err, os.ErrDeadlineExceeded) { // the deadline of somebody else
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

func ignoringEINTR(call func(int, []byte) (int, error), fd int, b []byte) (int, error) {
	for {
		if n, err := call(fd, b); err != syscall.EINTR {
			return n, err
		}
	}
}
