package ttrpc

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// socketPath returns a path for a Unix socket. Such paths are limited in length, and those
// of t.TempDir include the name of the test.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// localNetwork returns the network for tests that need any local socket: "unix", or "tcp"
// on a Windows without Unix sockets, such as Wine's.
var localNetwork = sync.OnceValue(func() string {
	if runtime.GOOS != "windows" {
		return "unix"
	}
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		return "unix"
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return "tcp"
	}
	l.Close()
	return "unix"
})

// listen returns a listener of localNetwork, which is closed when the test ends.
func listen(t testing.TB) net.Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	if localNetwork() == "unix" {
		addr = socketPath(t)
	}
	l, err := net.Listen(localNetwork(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dialLocal connects to the address of a listener of localNetwork.
func dialLocal(addr string) (net.Conn, error) { return net.Dial(localNetwork(), addr) }

// needSockets skips a test of kernel sockets if c has none, as on Windows.
func needSockets(t testing.TB, c *Client) {
	t.Helper()
	if c.conn.ch.sock == nil {
		t.Skip("this system has no raw access to sockets")
	}
}

// waitForLoop waits until the read loop of a client reads: after NewClient and after calls,
// nobody does for a moment.
func waitForLoop(t testing.TB, c *Client) {
	t.Helper()
	waitFor(t, "the read loop", func() bool {
		c.conn.mu.Lock()
		defer c.conn.mu.Unlock()
		return c.reader.turn.holder == heldByLoop
	})
}

// tcpPair returns the two ends of a TCP connection over loopback.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	if b, err = l.AcceptTCP(); err != nil { // the kernel has already made the connection
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}
