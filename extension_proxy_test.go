//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The proxies of these tests are between two sides with this library. They decode requests
// and responses, and encode them again.

// A proxyKind is a way in which a proxy that does not know extensions treats them.
type proxyKind uint8

const (
	noProxy      proxyKind = iota
	keepsFields            // that it does not know, and drops id 0 as a client does
	dropsFields            // that it does not know
	swallowsZero           // both ways
	answersZero            // to the client as a server does, and swallows the server's
	passesZero             // knows nothing of streams: everything passes
	betraysZero            // passes the server's, and answers the client's
)

func (k proxyKind) String() string {
	return [...]string{"no proxy", "keeps fields", "drops fields", "swallows id 0", "answers id 0", "passes id 0", "passes and answers id 0"}[k]
}

// newProxy runs a proxy in front of the server that serves l, and returns the client's end.
// The proxy ends when either side closes.
func newProxy(kind proxyKind, l *memListener) net.Conn {
	const capacity = 64 << 10 // of each pipe: a proxy must not hide that a side stands still
	if kind == noProxy {
		near, far := memPipe(capacity)
		l.hand(far)
		return near
	}
	clientEnd, clientSide := memPipe(capacity)
	serverSide, serverEnd := memPipe(capacity)
	l.hand(serverEnd)
	// Both directions write to the client, which wants whole frames: a goroutine does it.
	toClient := make(chan rawFrame)
	over := make(chan struct{})
	end := func() { clientSide.Close(); serverSide.Close() }
	go func() {
		defer close(over)
		defer end()
		for f := range toClient {
			if _, err := clientSide.Write(f.encode()); err != nil {
				return
			}
		}
	}()
	give := func(f rawFrame) bool {
		select {
		case toClient <- f:
			return true
		case <-over:
			return false
		}
	}
	fromClient := make(chan struct{})
	go func() {
		defer close(fromClient)
		defer serverSide.CloseWrite()
		proxyFrames(clientSide, func(f rawFrame) bool {
			switch {
			case f.id != 0 || kind == passesZero:
				_, err := serverSide.Write(reencode(kind, f).encode())
				return err == nil
			case kind == answersZero || kind == betraysZero || kind == keepsFields || kind == dropsFields:
				return give(failure(0, codes.InvalidArgument, "stream id 0"))
			}
			return true
		})
	}()
	go func() {
		proxyFrames(serverSide, func(f rawFrame) bool {
			if f.id == 0 && kind != passesZero && kind != betraysZero {
				return true
			}
			return give(reencode(kind, f))
		})
		end()
		<-fromClient
		close(toClient)
	}()
	return clientEnd
}

// proxyFrames calls f for each frame that arrives from nc.
func proxyFrames(nc net.Conn, f func(rawFrame) bool) {
	for {
		b := make([]byte, headerLength)
		if _, err := io.ReadFull(nc, b); err != nil {
			return
		}
		h := parseHeader(b)
		body := make([]byte, h.length)
		if _, err := io.ReadFull(nc, body); err != nil {
			return
		}
		if !f(rawFrame{id: h.id, typ: h.typ, flags: h.flags, body: body}) {
			return
		}
	}
}

// reencode passes a frame on as a proxy does that decodes the envelopes.
func reencode(kind proxyKind, f rawFrame) rawFrame {
	if f.id == 0 || kind == passesZero {
		return f
	}
	var m proto.Message = &Request{}
	switch f.typ {
	case messageTypeRequest:
	case messageTypeResponse:
		m = &Response{}
	default:
		return f
	}
	if err := proto.Unmarshal(f.body, m); err != nil {
		return f
	}
	if kind == dropsFields {
		m.ProtoReflect().SetUnknown(protoreflect.RawFields(nil))
	}
	f.body = mustMarshal(m)
	return f
}

// proxyCalls makes calls of all kinds, and returns their results.
func proxyCalls(t *testing.T, c *Client) (results []string) {
	note := func(format string, args ...any) { results = append(results, fmt.Sprintf(format, args...)) }
	bg := context.Background()
	for i, size := range []int{0, 1, 3900, 3990, 4000, 5000, 100_000} {
		var resp KeyValue
		err := c.Call(bg, testService, "Echo", text(strings.Repeat("x", size)), &resp)
		note("call %d: %d bytes, %v", i, len(resp.Value), err)
	}
	note("refused: %v", c.Call(bg, testService, "Fail", text(""), text("")))
	note("unknown: %v", c.Call(bg, testService, "None", text(""), text("")))
	late, cancel := context.WithTimeout(bg, time.Second)
	note("late: %v", c.Call(late, testService, "Block", text(""), text("")))
	cancel()

	both, err := c.NewStream(bg, bidi, testService, "EchoStream", nil)
	note("stream: %v", err)
	sent := make(chan error, 1)
	const messages = 60 // of 20,000 bytes: more than every window and buffer
	go func() {
		for i := 0; i < messages; i++ {
			if err := both.SendMsg(text(strings.Repeat("m", 20_000))); err != nil {
				sent <- err
				return
			}
		}
		sent <- both.CloseSend()
	}()
	n := 0
	var m KeyValue
	for err = both.RecvMsg(&m); err == nil; err = both.RecvMsg(&m) {
		n += len(m.Value)
	}
	note("echoed: %d bytes, %v, sent: %v", n, err, <-sent)

	sum, err := c.NewStream(bg, fromClient, testService, "Join", nil)
	note("to the server: %v", err)
	for i := 0; i < 60; i++ {
		if err := sum.SendMsg(text(strings.Repeat("s", 20_000))); err != nil {
			note("send: %v", err)
		}
	}
	sum.CloseSend()
	err = sum.RecvMsg(&m)
	note("joined: %d bytes, %v", len(m.Value), err)

	many, err := c.NewStream(bg, fromServer, testService, "Repeat", text(strings.Repeat("r", 1000)))
	note("from the server: %v", err)
	n = 0
	for err = many.RecvMsg(&m); err == nil; err = many.RecvMsg(&m) {
		n += len(m.Value)
	}
	note("repeated: %d bytes, %v", n, err)

	for i := 0; i < 20; i++ { // of which most are given up
		ctx, cancel := context.WithCancel(bg)
		cs, err := c.NewStream(ctx, bidi, testService, "EchoStream", text("first"))
		if err == nil {
			err = cs.RecvMsg(&m)
		}
		cancel()
		again := cs.RecvMsg(&m)
		note("given up: %v, then %v", err, again)
	}
	note("the last: %v", echo(bg, c, "last"))
	return results
}

// No call fails behind a proxy that does not know extensions, and the sides rely on
// extensions only if their frames pass.
func TestExtensionsThroughProxies(t *testing.T) {
	limits := Limits{MaxStreamBuffer: 200_000}
	run := func(t *testing.T, kind proxyKind, on bool) (results []string, client, server negotiationState) {
		bubble(t, func(t *testing.T) {
			st := newServerTest(t, WithServerExtensions(on), WithServerLimits(limits))
			c := NewClient(newProxy(kind, st.l), WithClientExtensions(on), WithClientLimits(limits))
			defer c.Close()
			results = proxyCalls(t, c)
			client, server = negotiationState(c.conn.ext.state.Load()), negotiationState(st.serverConn().conn.ext.state.Load())
		})
		return results, client, server
	}
	for kind, want := range map[proxyKind]struct{ client, server negotiationState }{
		noProxy:      {extended, extended},
		keepsFields:  {plain, offered},
		dropsFields:  {plain, plain},
		swallowsZero: {plain, offered},
		answersZero:  {plain, offered},
		passesZero:   {extended, extended},
	} {
		t.Run(strings.ReplaceAll(kind.String(), " ", "-"), func(t *testing.T) {
			without, _, _ := run(t, kind, false)
			with, client, server := run(t, kind, true)
			if client != want.client || server != want.server {
				t.Errorf("the client is %v and the server %v, want %v and %v", client, server, want.client, want.server)
			}
			for i := range without {
				if i >= len(with) || with[i] != without[i] {
					t.Fatalf("with extensions:\n%s\nwithout:\n%s", strings.Join(with[i:], "\n"), without[i])
				}
			}
		})
	}
}

// A proxy that passes the settings on, and then answers as a server without extensions, is
// detected by its first answer.
func TestExtensionsThroughATraitor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t)
		c := NewClient(newProxy(betraysZero, st.l))
		defer c.Close()
		synctest.Wait()
		server := st.serverConn()
		echo(context.Background(), c, "x") // may come before that answer
		<-c.conn.done
		if _, err := tableOf(c.conn); !errors.Is(err, ErrProtocol) {
			t.Errorf("the connection ended with %v, want ErrProtocol", err)
		}
		if !server.conn.ext.is(offered) {
			t.Error("the server relies on the client")
		}
	})
}

// serverConn returns the only connection of the server.
func (st *serverTest) serverConn() *serverConn {
	st.t.Helper()
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	for sc := range st.server.conns {
		return sc
	}
	st.t.Fatal("the server has no connection")
	return nil
}
