package ttrpc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// Benchmarks of the hot paths, for benchstat. Those against other libraries, in
// processes of their own, are in bench/.

// plainBuffers takes away the treatment of released buffers in tests.
func plainBuffers(b *testing.B) {
	hook := bufferHook
	bufferHook = nil
	b.Cleanup(func() { bufferHook = hook })
}

func BenchmarkHeader(b *testing.B) {
	var buf [headerLength]byte
	h := header{length: 128, id: 3, typ: messageTypeData}
	for i := 0; i < b.N; i++ {
		putHeader(buf[:], h)
		if got := parseHeader(buf[:]); got != h {
			b.Fatal(got)
		}
	}
}

func BenchmarkReadFrame(b *testing.B) {
	plainBuffers(b)
	for _, n := range []int{128, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			frame := make([]byte, headerLength+n)
			putHeader(frame, header{length: uint32(n), id: 1, typ: messageTypeData})
			ch := newChannel(&repeatConn{data: frame}, defaultMaxMessageLength, 1, nil)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				_, buf, err := ch.readFrame()
				if err != nil {
					b.Fatal(err)
				}
				buf.release()
			}
		})
	}
}

// repeatConn is read from without end.
type repeatConn struct {
	net.Conn
	data []byte
	off  int
}

func (c *repeatConn) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.off == len(c.data) {
			c.off = 0
		}
		m := copy(p[n:], c.data[c.off:])
		n, c.off = n+m, c.off+m
	}
	return n, nil
}

func BenchmarkRequestEnvelope(b *testing.B) {
	msg := &KeyValue{Key: "key", Value: strings.Repeat("x", 128)}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		p, err := noOptions.newPayload(msg)
		if err != nil {
			b.Fatal(err)
		}
		req := requestEnvelope{service: testService, method: "Echo", payload: p, timeout: 1e9}
		_ = req.size()
		out, err := req.append(buf)
		if err != nil {
			b.Fatal(err)
		}
		var view requestView
		if err := view.parse(out, defaultMaxMetadata); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	msg := &KeyValue{Key: "key", Value: strings.Repeat("x", 128)}
	buf := make([]byte, 0, 1024)
	var back KeyValue
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		p, err := noOptions.newPayload(msg)
		if err != nil {
			b.Fatal(err)
		}
		out, err := p.append(buf)
		if err != nil {
			b.Fatal(err)
		}
		if err := noOptions.unmarshal(out, &back); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	plainBuffers(b)
	for _, network := range []string{"unix", "pipe"} {
		for _, callers := range []int{1, 8, 64, 512} {
			b.Run(fmt.Sprintf("%s/%d", network, callers), func(b *testing.B) {
				c := benchClient(b, network)
				msg := &KeyValue{Key: "key", Value: strings.Repeat("x", 128)}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for n := 0; n < callers; n++ {
					calls := b.N / callers
					if n < b.N%callers {
						calls++
					}
					wg.Add(1)
					go func() {
						defer wg.Done()
						for i := 0; i < calls; i++ {
							var resp KeyValue
							if err := c.Call(context.Background(), testService, "Echo", msg, &resp); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				wg.Wait()
			})
		}
	}
}

func BenchmarkStreamEcho(b *testing.B) {
	plainBuffers(b)
	c := benchClient(b, "unix")
	cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		b.Fatal(err)
	}
	msg := &KeyValue{Key: "key", Value: strings.Repeat("x", 128)}
	var resp KeyValue
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := cs.SendMsg(msg); err != nil {
			b.Fatal(err)
		}
		if err := cs.RecvMsg(&resp); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServerStream(b *testing.B) {
	plainBuffers(b)
	c := benchClient(b, "unix")
	const messages = 1000
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += messages {
		n := min(messages, b.N-sent)
		cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{Value: strings.Repeat("x", n)})
		if err != nil {
			b.Fatal(err)
		}
		var m KeyValue
		for i := 0; i < n; i++ {
			if err := cs.RecvMsg(&m); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// benchClient is a client of the test service, over a unix socket or a
// connection of another kind.
func benchClient(b *testing.B, network string) *Client {
	if network == "unix" {
		c, _ := newTestPair(b, echoMethods())
		return c
	}
	near, far := net.Pipe()
	l := newMemListener(0)
	serveOn(b, l, echoMethods(), usuallyBusy)
	l.hand(far)
	c := NewClient(near)
	b.Cleanup(func() { c.Close() })
	return c
}
