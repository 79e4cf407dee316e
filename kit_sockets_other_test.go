//go:build !unix

package ttrpc

import (
	"net"
	"testing"
)

// socketPair returns the two ends of a local socket, which are closed at the end of the
// test at the latest. These systems have no socketpair(2).
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
	return a, b
}
