//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Faults of the system calls on a kernel socket. The rest of a message of more
// than minReadLength is read by net.Conn, and is not seen here.

// syscallFault is a fault at one byte of a socket.
type syscallFault uint8

const (
	syscallNone  syscallFault = iota
	syscallSplit              // the call before takes no more than the bytes before
	syscallBytes              // from there on each call is of one byte
	syscallEINTR              // three calls are interrupted
	syscallPause              // the next call comes later: the other side gets EAGAIN in mid-frame
	syscallAgain              // a write that does not wait gets EAGAIN
	syscallENOMEM
	syscallReset // ECONNRESET, then and from then on
	syscallPipe  // the writing side is shut down, and there is EPIPE
)

func (f syscallFault) String() string {
	return [...]string{"none", "split", "bytes", "EINTR", "pause", "EAGAIN", "ENOMEM", "ECONNRESET", "EPIPE"}[f]
}

// harmless reports whether everything must succeed in spite of the fault.
func (f syscallFault) harmless() bool { return f <= syscallAgain }

// faultySocket has a fault in one direction of a socket, at the byte with index at.
type faultySocket struct {
	fd   int
	kind syscallFault
	read bool
	at   int

	mu     sync.Mutex
	nRead  int
	nWrote int
	times  int // the fault has been
}

var theFaultySocket atomic.Pointer[faultySocket]

func init() {
	sysRead = func(fd int, b []byte) (int, error) { return faultyCall(fd, b, true, syscall.Read) }
	sysWrite = func(fd int, b []byte) (int, error) { return faultyCall(fd, b, false, syscall.Write) }
}

func faultyCall(fd int, b []byte, read bool, call func(int, []byte) (int, error)) (int, error) {
	f := theFaultySocket.Load()
	if f == nil || f.fd != fd {
		return call(fd, b)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	count := &f.nWrote
	if read {
		count = &f.nRead
	}
	if f.kind == syscallReset && f.times > 0 {
		return 0, syscall.ECONNRESET
	}
	if f.read == read {
		if err := f.beforeLocked(*count); err != nil {
			return -1, err
		}
		switch {
		case f.kind == syscallNone:
		case *count < f.at:
			b = b[:min(len(b), f.at-*count)]
		case f.kind == syscallBytes:
			b = b[:1]
		}
	}
	n, err := call(fd, b)
	if n > 0 {
		*count += n
	}
	return n, err
}

// beforeLocked applies the fault after n bytes have been read or written.
func (f *faultySocket) beforeLocked(n int) error {
	if n != f.at {
		return nil
	}
	f.times++
	switch f.kind {
	case syscallEINTR:
		if f.times <= 3 {
			return syscall.EINTR
		}
	case syscallPause:
		if f.times == 1 {
			time.Sleep(200 * time.Microsecond)
		}
	case syscallAgain:
		// A writer that waits for room would do so for ever: there is some, and the
		// kernel does not say it twice.
		if f.times == 1 && writesWithoutWaiting() {
			return syscall.EAGAIN
		}
	case syscallENOMEM:
		return syscall.ENOMEM
	case syscallReset:
		syscall.Shutdown(f.fd, syscall.SHUT_RDWR) // for a goroutine that waits in the other direction
		return syscall.ECONNRESET
	case syscallPipe:
		syscall.Shutdown(f.fd, syscall.SHUT_WR)
		if !f.read {
			return syscall.EPIPE
		}
	}
	return nil
}

func writesWithoutWaiting() bool {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".tryWrite") {
			return true
		}
		if !more {
			return false
		}
	}
}

// runSyscallFault is runFault on a kernel socket and in real time.
func runSyscallFault(t *testing.T, sc faultScenario, serverSide bool, kind syscallFault, read bool, at int) (nRead, nWrote int, err error) {
	t.Helper()
	keepLedger(t, func() {
		s, serr := NewServer(WithServerLogger(discardLogger{}), WithServerLimits(Limits{MaxMessageLength: faultLimit}))
		if serr != nil {
			t.Fatal(serr)
		}
		s.RegisterService(testService, faultMethods(s))
		l := newMemListener(0)
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.Background(), l) }()

		near, far := socketPair(t)
		f := &faultySocket{fd: descriptor(t, near), kind: kind, read: read, at: at}
		if serverSide {
			f.fd = descriptor(t, far)
		}
		theFaultySocket.Store(f)
		defer theFaultySocket.Store(nil)
		l.hand(far)
		c := NewClient(near)
		timeout := testTimeout
		if kind == syscallENOMEM {
			timeout = 15 * time.Millisecond // nobody tells the other side
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		err = sc.run(ctx, c)
		cancel()
		waitFor(t, "the client's table to become empty", func() bool { n, _ := tableOf(c.conn); return n == 0 })
		c.Close()
		s.Close()
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: got %v", err)
		}
		near.Close() // one whose writing failed may be read still
		far.Close()
		settle(t)
		f.mu.Lock()
		defer f.mu.Unlock()
		nRead, nWrote = f.nRead, f.nWrote
	})
	return nRead, nWrote, err
}

func descriptor(t *testing.T, nc *net.UnixConn) (number int) {
	t.Helper()
	raw, err := nc.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { number = int(fd) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// TestSyscallFaults runs scenarios with every fault of the system calls at every byte, at
// the client's end and at the server's end.
func TestSyscallFaults(t *testing.T) {
	strides := map[string]int{"unary": 1, "metadata and deadline": 7, "both stream": 7, "cancelled": 11, "shutdown": 5, "oversized request": 191}
	for _, sc := range faultScenarios {
		sc, stride := sc, strides[sc.name]
		if stride == 0 {
			continue
		}
		if raceEnabled || testing.Short() {
			stride *= 5
		}
		t.Run(sc.name, func(t *testing.T) {
			for _, serverSide := range []bool{false, true} {
				nRead, nWrote, err := runSyscallFault(t, sc, serverSide, syscallNone, true, 0)
				if err != nil || nRead == 0 || nWrote == 0 {
					t.Fatalf("without a fault: %v, %d bytes read and %d written", err, nRead, nWrote)
				}
				for kind := syscallSplit; kind <= syscallPipe; kind++ {
					for _, read := range []bool{true, false} {
						total := nWrote
						if read {
							total = nRead
						}
						for at := 0; at <= total; at += stride {
							_, _, err := runSyscallFault(t, sc, serverSide, kind, read, at)
							if err := checkSyscallFault(kind, err); err != nil || t.Failed() {
								t.Fatalf("%v at byte %d of %d, read: %v, at the server: %v: %v", kind, at, total, read, serverSide, err)
							}
						}
					}
				}
			}
		})
	}
}

// checkSyscallFault checks the error of a scenario.
func checkSyscallFault(kind syscallFault, err error) error {
	switch {
	case err == nil, !kind.harmless() && err == ErrClosed:
		return nil
	case kind == syscallENOMEM && err == context.DeadlineExceeded:
		return nil
	case kind == syscallENOMEM && errors.Is(err, ErrClosed) && errors.Is(err, syscall.ENOMEM):
		return nil // of a call that could not be sent
	}
	return fmt.Errorf("got %w", err)
}
