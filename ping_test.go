//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pingFrame returns a ping or a pong for a script.
func pingFrame(typ messageType, data uint64) rawFrame {
	frame := pingData(data).frame(typ)
	defer frame.release()
	return rawFrame{typ: typ, body: append([]byte(nil), frame.b[headerLength:]...)}
}

// extend negotiates extensions between a client and a script, by a call.
func extend(t *testing.T, c *Client, p *peer) {
	t.Helper()
	call := goCall(t, context.Background(), c, text("first"))
	p.want("the first call", withOffer(request(1, "Echo", 0, text("first"))))
	p.send(settingsOf(defaultConnConfig.settings()), response(1, text("first")))
	p.want("settings", ack)
	call.wantValue("the first call", "first")
}

// extendServer negotiates extensions between a script and a server, by a call.
func extendServer(p *peer) {
	p.t.Helper()
	p.send(withOffer(request(1, "Echo", 0, text("first"))))
	p.want("an offer", settingsOf(defaultConnConfig.settings()), response(1, text("first")))
	p.send(ack)
}

func goPing(ctx context.Context, c *Client) <-chan error {
	return goErr(func() error { return c.Ping(ctx) })
}

func wantPing(t *testing.T, why string, ping <-chan error, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-ping:
		if err != want {
			t.Errorf("%s: Ping returned %v, want %v", why, err, want)
		}
	default:
		t.Errorf("%s: Ping has not returned", why)
	}
}

func wantNoPing(t *testing.T, why string, ping <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-ping:
		t.Errorf("%s: Ping returned %v", why, err)
	default:
	}
}

// A pong answers the ping with its number and the pings before.
func TestPing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		extend(t, c, p)
		first := goPing(context.Background(), c)
		p.want("a ping", pingFrame(messageTypePing, 1))
		second := goPing(context.Background(), c)
		p.want("another", pingFrame(messageTypePing, 2))
		p.send(pingFrame(messageTypePong, 3), pingFrame(messageTypePong, 1<<63), pingFrame(messageTypePong, 0))
		wantNoPing(t, "pongs that answer nothing", first)
		p.send(pingFrame(messageTypePong, 2))
		wantPing(t, "a pong for both", first, nil)
		wantPing(t, "a pong for both", second, nil)
		p.send(pingFrame(messageTypePong, 2), pingFrame(messageTypePong, 1))
		p.wantNothing("pongs again")

		ctx, cancel := context.WithCancel(context.Background())
		third := goPing(ctx, c)
		p.want("a third", pingFrame(messageTypePing, 3))
		cancel()
		wantPing(t, "the end of its context", third, context.Canceled)
		long := pingFrame(messageTypePong, 4)
		long.body = append(long.body, "later version"...)
		fourth := goPing(context.Background(), c)
		p.want("a fourth", pingFrame(messageTypePing, 4))
		p.send(long)
		wantPing(t, "a pong that is longer", fourth, nil)

		fifth := goPing(context.Background(), c)
		p.want("a fifth", pingFrame(messageTypePing, 5))
		p.send(rawFrame{typ: messageTypePong, body: []byte("short")})
		wantPing(t, "a pong that is too short", fifth, ErrClosed)
		if err := c.Err(); !errors.Is(err, ErrProtocol) {
			t.Errorf("a pong that is too short: got %v, want ErrProtocol", err)
		}
		if err := c.Ping(context.Background()); err != ErrClosed {
			t.Errorf("after the end: got %v", err)
		}
	})
}

// The first ping asks for extensions if no call has done so.
func TestPingAsks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		asking := requestFrame(1, 0, &Request{Service: "ttrpc.Extensions", Method: "Ask"})
		r, ofLastCall := &ResponseMetadata{}, &receivedMetadata{}
		r.received.Store(ofLastCall)
		ping := goPing(WithResponseMetadata(context.Background(), r), c)
		p.want("the question", withOffer(asking))
		p.send(settingsOf(defaultConnConfig.settings()), failure(1, codes.NotFound, "what?"))
		p.want("settings", ack, pingFrame(messageTypePing, 1))
		p.send(pingFrame(messageTypePong, 1))
		wantPing(t, "a server with extensions", ping, nil)
		if r.received.Load() != ofLastCall {
			t.Error("the question took the place of the last call's metadata")
		}
	})
	for name, settings := range map[string][]rawFrame{
		"an old server":         nil,
		"a server without ping": {settingsOf(settings{version: 1, features: featureCancel})},
	} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			ping := goPing(context.Background(), c)
			p.next("the question")
			p.send(append(settings, failure(1, codes.Unimplemented, "what?"))...)
			if err := <-ping; status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: got %v", name, err)
			}
			p.receive()
			p.unread = nil // the acknowledgement
			if err := c.Ping(context.Background()); status.Code(err) != codes.Unimplemented {
				t.Errorf("%s, again: got %v", name, err)
			}
			p.send(pingFrame(messageTypePing, 1), rawFrame{typ: messageTypePing})
			p.wantNothing("pings of " + name)
		})
	}
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientExtensions(false))
		if err := c.Ping(context.Background()); status.Code(err) != codes.Unimplemented {
			t.Errorf("a client without extensions: got %v", err)
		}
		p.wantNothing("a client without extensions")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := c.Ping(ctx); err != context.Canceled {
			t.Errorf("a context that has ended: got %v", err)
		}
	})
	if err := new(Client).Ping(context.Background()); err != ErrClosed {
		t.Errorf("a zero client: got %v", err)
	}
}

// Either side returns the bytes of a ping, and ends the connection at a short one.
func TestPong(t *testing.T) {
	test := func(t *testing.T, p *peer) {
		p.send(pingFrame(messageTypePing, 1<<60+1))
		p.want("a ping", pingFrame(messageTypePong, 1<<60+1))
		long := pingFrame(messageTypePing, 7)
		long.body = append(long.body, "later version"...)
		p.send(pingFrame(messageTypePong, 1), pingFrame(messageTypePong, 0), long)
		p.want("pongs that nobody asked for, and a long ping", pingFrame(messageTypePong, 7))
		p.send(rawFrame{typ: messageTypePing, body: []byte("1234567")})
		p.wantClosed("a short ping")
	}
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		extend(t, c, p)
		test(t, p)
	})
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		extendServer(p)
		test(t, p)
	})
}

// A server answers pings only after the client's acknowledgement.
func TestPingUnasked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		refusal := failure(0, codes.InvalidArgument, "stream id 0 is not odd, as a client's must be")
		p.send(pingFrame(messageTypePing, 1))
		p.want("without an offer", refusal)
		p.send(withOffer(request(1, "Echo", 0, text("x"))))
		p.want("an offer", settingsOf(defaultConnConfig.settings()), response(1, text("x")))
		p.send(pingFrame(messageTypePing, 1))
		p.want("without an acknowledgement", refusal)
	})
	bubble(t, func(t *testing.T) {
		_, p := clientPeer(t)
		p.send(pingFrame(messageTypePing, 1), rawFrame{typ: messageTypePing})
		p.wantNothing("a client that has not asked")
	})
}

// A peer that sends pings and does not read has one pong in the queue, and later gets the
// last one.
func TestPingFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		extend(t, c, p)
		setCapacity := func(n int) {
			half := p.conn.in
			half.mu.Lock()
			defer half.mu.Unlock()
			half.capacity = n
			half.changed.Broadcast()
		}
		setCapacity(1)
		queued := func() int64 {
			c.conn.ch.w.mu.Lock()
			defer c.conn.ch.w.mu.Unlock()
			return c.conn.ch.w.queueEnd - c.conn.ch.w.writtenEnd
		}
		for i := uint64(1); i <= 10_000; i++ {
			p.send(pingFrame(messageTypePing, i))
		}
		synctest.Wait()
		if got := queued(); got > 2*(headerLength+pingLength) {
			t.Errorf("%d bytes wait to be written, for one pong", got)
		}
		setCapacity(0)
		pongs := 0
		for last := (rawFrame{}); !last.equal(pingFrame(messageTypePong, 10_000)); pongs++ {
			last = p.next("the pongs")
		}
		if pongs > 3 {
			t.Errorf("%d pongs came", pongs)
		}
		p.send(pingFrame(messageTypePing, 1))
		p.want("after the flood", pingFrame(messageTypePong, 1))
	})
}

// A ping does not wait for the timer to give the turn to the read loop.
func TestPingBetweenCalls(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	needSockets(t, c) // on others no caller takes the turn
	ctx := testContext(t)
	start := time.Now()
	for i := 0; i < 200; i++ {
		if err := echo(ctx, c, "x"); err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d > 200*idleLimit/2 {
		t.Errorf("200 calls and pings took %v", d)
	}
}

// A peer may repeat its pong before the caller has seen the first.
func TestPongTwice(t *testing.T) {
	w := &pingWaiter{number: 1, answered: make(chan struct{})}
	cn := &conn{pings: &pings{last: 1, waiters: []*pingWaiter{w}}}
	cn.pongCame(1)
	cn.pongCame(1)
	if !isClosed(w.answered) {
		t.Error("the ping is not answered")
	}
}
