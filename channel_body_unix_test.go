//go:build unix

package ttrpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// handshakeTLS is a handshaker that puts TLS on the connection.
func handshakeTLS(cert tls.Certificate) Handshaker {
	return handshakeFunc(func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
		tlsConn := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		return tlsConn, nil, tlsConn.HandshakeContext(ctx)
	})
}

// The length that a frame claims costs nothing before the frame's bytes arrive, and then
// costs in proportion to the bytes that have arrived.
func TestClaimedLengths(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const conns, claimed = 200, 4 << 20
	cert := newTestCertificate(t)
	for name, layer := range map[string]func(net.Conn) net.Conn{
		"unix": func(nc net.Conn) net.Conn { return nc },
		"tls":  func(nc net.Conn) net.Conn { return tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) },
	} {
		name, layer := name, layer
		t.Run(name, func(t *testing.T) {
			var opts []ServerOpt
			if name == "tls" {
				opts = append(opts, WithServerHandshaker(handshakeTLS(cert)))
			}
			_, addr := newTestServer(t, echoMethods(), opts...)
			wires := make([]*wire, conns)
			for i := range wires {
				wires[i] = newWire(layer(dialRaw(t, addr)))
				wires[i].request(1, "Echo", 0, &KeyValue{})
				wires[i].readResponse()
			}
			request := mustMarshal(&Request{Service: testService, Method: "Echo",
				Payload: mustMarshal(&KeyValue{Value: strings.Repeat("x", claimed-200)})})
			frame := make([]byte, headerLength, headerLength+len(request))
			putHeader(frame, header{length: uint32(len(request)), id: 3, typ: messageTypeRequest})
			frame = append(frame, request...)
			idle := heapInUse()
			sent := 0
			for _, test := range []struct {
				upTo int   // bytes of the frame are sent
				most int64 // bytes of heap for each connection
			}{
				{headerLength, 12 << 10}, // of TLS, for a part of a record
				{headerLength + 1, 64<<10 + 12<<10},
				{100 << 10, 16*100<<10 + 12<<10},
			} {
				for _, w := range wires {
					if _, err := w.Write(frame[sent:test.upTo]); err != nil {
						t.Fatal(err)
					}
				}
				sent = test.upTo
				time.Sleep(25 * time.Millisecond) // the server reads, for which it has buffers
				var perConn int64
				waitFor(t, fmt.Sprintf("at most %d bytes of heap for %d of a frame", test.most, sent), func() bool {
					perConn = (heapInUse() - idle) / conns
					return perConn <= test.most
				})
				t.Logf("%d bytes of heap for %d bytes of a frame of %d", perConn, sent, claimed)
			}
			w := wires[0]
			if _, err := w.Write(frame[sent:]); err != nil {
				t.Fatal(err)
			}
			if _, resp := w.readResponse(); len(resp.Payload) < claimed-300 || resp.Status.GetCode() != 0 {
				t.Errorf("the response has %d bytes and status %v", len(resp.Payload), resp.Status)
			}
			runtime.KeepAlive(wires)
		})
	}
}
