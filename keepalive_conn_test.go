//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

var testKeepalive = Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second}

// after lets time pass, and then lets the bubble come to rest.
func after(d time.Duration) {
	time.Sleep(d + time.Millisecond)
	synctest.Wait()
}

// wantSilent checks the error of a connection whose peer counts as dead.
func wantSilent(t *testing.T, c *Client) {
	t.Helper()
	synctest.Wait()
	if err := c.Err(); !errors.Is(err, errPeerSilent) || !errors.Is(err, ErrClosed) {
		t.Errorf("Err is %v, want ErrClosed with errPeerSilent", err)
	}
}

// A server that sends nothing while a call runs gets a ping, and counts as dead if it does
// not answer.
func TestClientKeepalive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientKeepalive(testKeepalive))
		extend(t, c, p)
		time.Sleep(time.Hour)
		p.wantNothing("no calls")
		call := goCall(t, context.Background(), c, text("x"))
		p.next("a call")
		after(testKeepalive.Interval)
		p.want("silence", pingFrame(messageTypePing, 1))
		p.send(pingFrame(messageTypePong, 1))
		after(testKeepalive.Interval)
		p.want("silence again", pingFrame(messageTypePing, 2))
		after(testKeepalive.Timeout - 3*time.Millisecond) // want waits for 2 of these
		call.wantPending("before the timeout")
		after(3 * time.Millisecond)
		if err := <-call.result; err != ErrClosed {
			t.Errorf("the call got %v, want ErrClosed", err)
		}
		wantSilent(t, c)
	})
}

func TestClientKeepaliveIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := testKeepalive
		k.Idle = true
		c, p := clientPeer(t, WithClientKeepalive(k))
		extend(t, c, p)
		after(k.Interval)
		p.want("no calls", pingFrame(messageTypePing, 1))
		after(k.Timeout)
		wantSilent(t, c)
	})
}

// If a client sends nothing, the server ends the contexts of its handlers, with the reason
// as their cause.
func TestServerKeepalive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerKeepalive(testKeepalive))
		extendServer(p)
		time.Sleep(time.Hour)
		p.wantNothing("no calls")
		p.send(request(3, "Hold", 0, nil))
		held := <-st.held
		after(testKeepalive.Interval)
		p.want("silence", pingFrame(messageTypePing, 1))
		after(testKeepalive.Timeout)
		p.wantClosed("no answer")
		if err := context.Cause(held.ctx); !errors.Is(err, errPeerSilent) {
			t.Errorf("the cause for the handler is %v", err)
		}
		held.returns(nil, nil)
	})
}

// A busy peer gets no ping: each byte from it shows that it is alive.
func TestKeepaliveBusyPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientKeepalive(testKeepalive))
		extend(t, c, p)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("a call")
		slow := response(3, text(strings.Repeat("x", 100))).encode()
		for i := range slow {
			time.Sleep(testKeepalive.Interval - time.Second)
			p.sendBytes(slow[i : i+1])
		}
		p.wantNothing("a response that takes long")
		if err := <-call.result; err != nil {
			t.Errorf("the call got %v", err)
		}
	})
}

// Time in which this side does not read does not count as silence of the peer.
func TestKeepaliveReadingPauses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := Keepalive{Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond}
		c, p := clientPeer(t, WithClientKeepalive(k), WithClientLimits(Limits{MaxStreamBuffer: 1}))
		s := defaultConnConfig.settings()
		s.features &^= featureWindows // with windows reading does not pause
		p.extendClientBy(c, s)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("a stream")
		p.send(data(3, 0, text("1")), data(3, 0, text("2"))) // the second waits for a second at most
		time.Sleep(slowConsumerLimit / 2)
		if err := c.Err(); err != nil {
			t.Fatalf("while reading pauses: %v", err)
		}
		wantMsg(t, cs, "after a pause", "1")
		wantMsg(t, cs, "after a pause", "2")
		after(k.Interval)
		p.want("a pause is no silence", pingFrame(messageTypePing, 1))
		after(k.Timeout)
		wantSilent(t, c)
	})
}

// A peer that does not read has at most one ping in the queue.
func TestKeepalivePeerDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := testKeepalive
		k.Idle = true
		c, p := clientPeer(t, WithClientKeepalive(k))
		extend(t, c, p)
		p.conn.in.mu.Lock()
		p.conn.in.capacity = 1
		p.conn.in.mu.Unlock()
		for i := 0; i < 100; i++ {
			time.Sleep(k.Interval + k.Timeout/2)
			p.send(pingFrame(messageTypePong, 0))
		}
		c.conn.mu.Lock()
		defer c.conn.mu.Unlock()
		if n := c.conn.pings.last; n > 2 {
			t.Errorf("%d pings were queued", n)
		}
	})
}

// A connection whose peer has no pings has no timer.
func TestKeepaliveOldPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := testKeepalive
		k.Idle = true
		c, p := clientPeer(t, WithClientKeepalive(k))
		call := goCall(t, context.Background(), c, text("x"))
		p.next("a call")
		p.send(response(1, text("x")))
		call.wantValue("an old server", "x")
		time.Sleep(time.Hour)
		p.wantNothing("an old server")
		if c.conn.pings != nil {
			t.Error("there is a timer for an old server")
		}
	})
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientKeepalive(testKeepalive))
		goCall(t, context.Background(), c, text("x"))
		p.next("a call")
		p.send(settingsOf(settings{version: 1, features: featureCancel}))
		p.want("settings", ack)
		time.Sleep(time.Hour)
		p.wantNothing("a server without pings")
	})
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t, WithServerKeepalive(testKeepalive))
		p.send(request(1, "Echo", 0, text("x")))
		p.want("an old client", response(1, text("x")))
		time.Sleep(time.Hour)
		p.wantNothing("an old client")
	})
}

func TestKeepaliveOptions(t *testing.T) {
	for _, k := range []Keepalive{{}, {Interval: time.Millisecond}, {Interval: -1}, {Interval: time.Second, Timeout: -1}, {Interval: time.Second, Timeout: 1}} {
		if _, err := NewServer(WithServerKeepalive(k)); err == nil {
			t.Errorf("a server takes %+v", k)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a client takes %+v", k)
				}
			}()
			WithClientKeepalive(k)
		}()
	}
	got, err := Keepalive{Interval: time.Second}.check()
	if want := (Keepalive{Interval: time.Second, Timeout: 20 * time.Second}); err != nil || *got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
}

// A payload that is too long is skipped, even in an extension's frame.
func TestServerSkipsLongExtension(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t, WithServerLimits(Limits{MaxMessageLength: 4096}))
		p.send(withOffer(request(1, "Echo", 0, text("x"))))
		p.next("settings")
		p.want("the response", response(1, text("x")))
		long := rawFrame{typ: messageTypePing, body: make([]byte, 4097)}
		p.send(long)
		p.wantStatus("without an acknowledgement", 0, codes.ResourceExhausted)
		p.send(ack, long)
		p.wantNothing("a ping that is too long")
		p.alive("after that", 3)
	})
}

// The timer may fire at the end of the connection.
func TestKeepaliveAfterEnd(t *testing.T) {
	cn := &conn{err: ErrClosed}
	cn.lookAtPeer()
	if !cn.mu.TryLock() {
		t.Error("the connection is still locked")
	}
}

// The timer stops with the connection.
func TestKeepaliveTimerStops(t *testing.T) {
	timer := time.AfterFunc(time.Hour, func() {})
	cn := &conn{pings: &pings{keep: &connKeepalive{timer: timer}}}
	cn.stopKeepaliveLocked()
	if timer.Stop() {
		t.Error("the timer runs on")
	}
}
