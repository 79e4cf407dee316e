//go:build !unix

package ttrpc

import (
	"net"
	"testing"
)

// socketPairBuffer is the size of the system's write buffers of a socketPair over TCP,
// about that of Unix sockets.
const socketPairBuffer = 200 << 10

// socketPair returns the two ends of a local socket, which are closed at the end of the
// test. These systems have no socketpair(2).
func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l := listen(t)
	defer l.Close()
	a = dialRaw(t, l.Addr().String())
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, nc := range []net.Conn{a, b} {
		// TCP would accept megabytes that nobody reads. A small write buffer also keeps the
		// peer's read buffer from growing. A read buffer that is made smaller after the
		// handshake would drop bytes that the peer may send.
		if tcp, ok := nc.(*net.TCPConn); ok {
			tcp.SetWriteBuffer(socketPairBuffer)
		}
	}
	return a, b
}
