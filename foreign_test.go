//go:build go1.25

package ttrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// foreignBeginnings are the first bytes of peers with other protocols, and the names of
// these protocols in the errors.
var foreignBeginnings = []struct {
	name, bytes, want string
	server            bool // sends it as a server
}{
	{"TLS client", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "the peer speaks TLS, not ttrpc", false},
	{"TLS server's alert", "\x15\x03\x01\x00\x02\x02\x0a", "the peer speaks TLS, not ttrpc", true},
	{"TLS server's handshake", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", "the peer speaks TLS, not ttrpc", true},
	{"gRPC client", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the peer speaks HTTP/2 (gRPC?), not ttrpc", false},
	{"gRPC server", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00", "the peer speaks HTTP/2 (gRPC?), not ttrpc", true},
	{"HTTP/2 server without settings", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "the peer speaks HTTP/2 (gRPC?), not ttrpc", true},
	{"HTTP server", "HTTP/1.1 400 Bad Request\r\n", "the peer speaks HTTP, not ttrpc", true},
	{"GET", "GET / HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"POST", "POST /x HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"PUT", "PUT /x HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"HEAD", "HEAD / HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"DELETE", "DELETE / HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"OPTIONS", "OPTIONS * HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"CONNECT", "CONNECT a:1 HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"PATCH", "PATCH / HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"TRACE", "TRACE / HTTP/1.1\r\n", "the peer speaks HTTP, not ttrpc", false},
	{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", `the peer does not speak ttrpc: it begins with "SSH-2.0-Op"`, false},
	{"SSH server", "SSH-2.0-OpenSSH_9.2\r\n", `the peer does not speak ttrpc: it begins with "SSH-2.0-Op"`, true},
}

// inPieces sends b at once, or one byte at a time, each of which is read separately.
func (p *peer) inPieces(b string, split bool) {
	p.t.Helper()
	for split && len(b) > 1 {
		p.conn.Write([]byte(b[:1])) // an error says that the connection was closed before the rest
		synctest.Wait()
		b = b[1:]
	}
	p.conn.Write([]byte(b))
}

func TestServerForeignPeer(t *testing.T) {
	for _, test := range foreignBeginnings {
		if test.server {
			continue
		}
		for _, split := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				log := &testLogger{}
				_, p := serverPeer(t, WithServerLogger(log))
				p.inPieces(test.bytes, split)
				p.wantClosed(test.name)
				log.want(t, "failed: protocol error: "+test.want)
			})
		}
	}
}

// Every call gets the reason: one that waits, one that comes later, and a stream.
func TestClientForeignPeer(t *testing.T) {
	for _, test := range foreignBeginnings {
		if !test.server {
			continue
		}
		for _, split := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				call := goCall(t, context.Background(), c, text("x"))
				synctest.Wait()
				p.inPieces(test.bytes, split)
				p.conn.Close()
				waiting := call.err(test.name)
				later := c.Call(context.Background(), testService, "Echo", text("x"), &KeyValue{})
				_, stream := c.NewStream(context.Background(), bidi, testService, "EchoStream", nil)
				for when, err := range map[string]error{"waiting": waiting, "later": later, "stream": stream} {
					if !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) || err.Error() != "ttrpc: connection failed: protocol error: "+test.want {
						t.Errorf("%s, split %v, %s: got %v, want %s", test.name, split, when, err, test.want)
					}
				}
			})
		}
	}
}

// An empty or short frame of type 0 on stream 0, with which some programs probe a server,
// does not look like HTTP/2 to the server. A client ignores frames of that type after the
// first frame.
func TestForeignPeerMistaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &testLogger{}
		_, p := serverPeer(t, WithServerLogger(log))
		p.send(rawFrame{body: make([]byte, 4)})
		if f := p.next("the answer to the probe"); f.id != 0 || len(f.body) == 0 {
			t.Errorf("the probe got %v", f)
		}
		p.alive("after the probe", 1)
		log.want(t)
	})
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.send(rawFrame{id: 2, typ: 0x70}, rawFrame{body: make([]byte, 4)}, response(1, text("fine")))
		call.wantValue("the connection goes on", "fine")
	})
}

// The texts of protocol errors begin with the name of the library, once.
func TestProtocolErrorTexts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.send(data(1, 0, text("data")))
		fromServerStream := open(t, context.Background(), c, fromServer, text("x"))
		fromClientStream := open(t, context.Background(), c, fromClient, nil)
		p.next("a request")
		p.next("a request")
		p.send(data(5, 0, text("data")))
		last := goCall(t, context.Background(), c, text("x"))
		p.next("the last request")
		_, received := recvNow(fromClientStream)
		errs := map[string]error{
			"data on a unary call: the method is a stream; call it with NewStream": call.err("data"),
			"the client of this stream does not send":                              fromServerStream.SendMsg(text("x")),
			"data from a server that does not stream":                              received,
		}
		for want, err := range errs {
			if !errors.Is(err, ErrProtocol) || err.Error() != "ttrpc: protocol error: "+want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if err := fromServerStream.CloseSend(); !errors.Is(err, ErrProtocol) || !strings.HasPrefix(err.Error(), "ttrpc: protocol error: ") {
			t.Errorf("CloseSend: got %v", err)
		}
		p.sendBytes([]byte{1, 0, 0, 0, 0, 0, 0, 3, 1, 0})
		const want = "ttrpc: connection failed: protocol error: the first byte of a header is not zero"
		if err := last.err("a header of ours"); !errors.Is(err, ErrProtocol) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		call := st.start(p, request(1, "HoldServer", flagRemoteClosed, text("only")))
		call.wantRecv(t, "the only message", "only")
		call.wantRecvErr(t, "after it", io.EOF)
		p.send(data(1, 0, text("too late")))
		if got := p.wantStatus("data after the last", 1, 3).GetMessage(); !strings.HasPrefix(got, "ttrpc: protocol error: ") {
			t.Errorf("the status says %s", got)
		}
		call.returns(nil, nil)
	})
}

// The peer speaks TLS over a real socket: a handshake of crypto/tls, and the alert of a
// server that closes with the call unread.
func TestForeignTLS(t *testing.T) {
	client, raw := wireClient(t)
	go func() {
		raw.Read(make([]byte, 5))
		raw.Write([]byte("\x15\x03\x01\x00\x02\x02\x0a"))
		raw.Close()
	}()
	err := client.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{})
	if !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "the peer speaks TLS, not ttrpc") {
		t.Errorf("a call to a server with TLS: got %v", err)
	}

	log := newLogRecorder()
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(log))
	if err := tls.Client(dialWire(t, addr), &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
	log.wait(t, "the peer speaks TLS, not ttrpc")
}
