package identify

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/frame"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// openAt runs a server that does f with each connection, and probes it.
func openAt(t *testing.T, timeout time.Duration, f func(c net.Conn)) *Session {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	s, conn, err := Open(context.Background(), func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", path) }, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return s
}

// first reads the first bytes of a client.
func first(c net.Conn) string {
	b := make([]byte, 1024)
	n, _ := c.Read(b)
	return string(b[:n])
}

// wait returns when the client has closed.
func wait(c net.Conn) { io.Copy(io.Discard, c) }

func say(s string) func(c net.Conn) {
	return func(c net.Conn) {
		first(c)
		io.WriteString(c, s)
		wait(c)
	}
}

const http2Settings = "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"

func answer(code codes.Code) string {
	body, err := proto.Marshal(&ttrpc.Response{Status: &spb.Status{Code: int32(code)}})
	if err != nil {
		panic(err)
	}
	b := make([]byte, frame.HeaderLength)
	frame.Header{Length: uint32(len(body)), ID: 1, Type: frame.TypeResponse}.Put(b)
	return string(b) + string(body)
}

func TestProtocols(t *testing.T) {
	for _, test := range []struct {
		name     string
		server   func(c net.Conn)
		protocol Protocol
		saw      string // in Name or Saw
	}{
		{"v1.0.2", say(answer(codes.NotFound)), Plain, "v1.0.2"},
		{"v1.1.0", say(answer(codes.Unimplemented)), Plain, "v1.1.0"},
		{"HTTP/2 at once", func(c net.Conn) { io.WriteString(c, http2Settings); wait(c) }, Foreign, "HTTP/2"},
		{"HTTP/2 when asked", func(c net.Conn) {
			if strings.HasPrefix(first(c), "PRI ") {
				io.WriteString(c, http2Settings)
			}
		}, Foreign, "HTTP/2"},
		{"HTTP/2 without a word before", func(c net.Conn) {
			if strings.HasPrefix(first(c), "PRI ") {
				io.WriteString(c, http2Settings)
			}
			wait(c)
		}, Foreign, "HTTP/2"},
		{"HTTP", say("HTTP/1.1 400 Bad Request\r\n\r\n"), Foreign, "HTTP"},
		{"TLS", say("\x15\x03\x01\x00\x02\x02\x46"), Foreign, "TLS"},
		{"other bytes", say("SSH-2.0-OpenSSH_9.2\r\n"), Foreign, "SSH-2.0"},
		{"few other bytes", say("220 \n"), Foreign, "220"},
		{"few bytes and the end", func(c net.Conn) { first(c); io.WriteString(c, "hi") }, Foreign, "hi"},
		{"no response", say("\x00\x00\x00\x02\x00\x00\x00\x01\x02\x00\xff\xff"), Foreign, "cannot be decoded"},
		{"silence", wait, Silent, "nothing either"},
		{"closed at once", func(net.Conn) {}, Closed, "ended"},
		{"closed after a call", func(c net.Conn) { first(c) }, Closed, "ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if strings.Contains(test.name, "without a word") || test.protocol == Silent || test.name == "few other bytes" {
				timeout = time.Second // which the test waits for
			}
			s := openAt(t, timeout, test.server)
			if s.Protocol != test.protocol || !strings.Contains(s.Name+" "+s.Saw, test.saw) {
				t.Errorf("got %+v, want %s and %q", s.Result, test.protocol, test.saw)
			}
		})
	}
}

// A server of this library answers pings, and calls where it has the extensions switched
// off.
func TestRoundTrip(t *testing.T) {
	for name, on := range map[string]bool{"pings": true, "calls": false} {
		t.Run(name, func(t *testing.T) {
			server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(on))
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			go server.Serve(context.Background(), l)
			defer server.Close()
			s, conn, err := Open(context.Background(), func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
			}, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if s.Pings() != on {
				t.Errorf("pings: %v", s.Pings())
			}
			for range 3 {
				if d, err := s.RoundTrip(); err != nil || d <= 0 {
					t.Errorf("got %v, %v", d, err)
				}
			}
		})
	}
}

// Arbitrary answers lead to a verdict.
func FuzzAnswer(f *testing.F) {
	f.Add(answer(0))
	f.Add(http2Settings)
	f.Add("\x00\x00\x00\x02\x00\x00\x00\x00\x70\x00\x08\x01" + answer(codes.Unimplemented))
	f.Fuzz(func(t *testing.T, said string) {
		s := openAt(t, 10*time.Second, func(c net.Conn) { first(c); io.WriteString(c, said) })
		if s.Protocol == "" || s.Saw == "" {
			t.Errorf("got %+v", s.Result)
		}
		s.RoundTrip()
	})
}
