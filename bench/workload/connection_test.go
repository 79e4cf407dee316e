package workload

import (
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

func TestConnections(t *testing.T) {
	for kind := range transports {
		t.Run(string(kind), func(t *testing.T) {
			addr := filepath.Join(t.TempDir(), "s")
			l, err := kind.listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			served := make(chan net.Conn, 1)
			go func() {
				defer close(served)
				conn, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				served <- conn
				io.Copy(conn, conn)
				conn.Close()
			}()
			conn, err := kind.Dial(addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 4)
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "ping" {
				t.Fatalf("got %q, %v", got, err)
			}
			for side, c := range map[string]net.Conn{"client": conn, "server": <-served} {
				_, got := c.(syscall.Conn)
				if want := kind == Unix || kind == TCP; got != want {
					t.Errorf("the %s's connection has SyscallConn: %v, want %v", side, got, want)
				}
			}
		})
	}
}

func TestUnknownConnection(t *testing.T) {
	if _, err := Connection("carrier pigeon").Dial("x"); err == nil {
		t.Error("an unknown kind of connection was dialled")
	}
}
