//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// Shutdown sends goaway to clients that have offered extensions, and to no others.
func TestServerSaysGoaway(t *testing.T) {
	shutdown := func(t *testing.T, st *serverTest) <-chan error {
		down := goErr(func() error { return st.server.Shutdown(context.Background()) })
		synctest.Wait()
		return down
	}
	wantDown := func(t *testing.T, down <-chan error) {
		t.Helper()
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	own := settingsOf(defaultConnConfig.settings())
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.extend()
		call := st.start(p, request(3, "Hold", 0, text("x")))
		down := shutdown(t, st)
		p.want("Shutdown", goawayOf(3))
		p.send(request(5, "Echo", 0, text("x")))
		p.wantStatus("a request that comes late", 5, codes.Unavailable)
		again := shutdown(t, st)
		p.wantNothing("a second Shutdown")
		call.returns(text("done"), nil)
		p.want("the call that runs", response(3, text("done")))
		wantDown(t, down)
		wantDown(t, again)
		p.wantClosed("the end")
	})
	bubble(t, func(t *testing.T) { // idle, and not acknowledged
		st, p := serverPeer(t)
		p.send(withOffer(request(1, "Echo", 0, text("x"))))
		p.want("an offer", own, response(1, text("x")))
		down := shutdown(t, st)
		p.want("Shutdown", goawayOf(1))
		wantDown(t, down)
		p.wantClosed("the end")
	})
	bubble(t, func(t *testing.T) { // the offer comes after the beginning
		st, p := serverPeer(t)
		call := st.start(p, request(1, "Hold", 0, text("x")))
		down := shutdown(t, st)
		p.wantNothing("a client that has not offered")
		p.send(withOffer(request(3, "Echo", 0, text("x"))))
		p.want("a late offer", own, goawayOf(1))
		p.wantStatus("a late offer", 3, codes.Unavailable)
		call.returns(text("done"), nil)
		p.want("the call that runs", response(1, text("done")))
		wantDown(t, down)
		p.wantClosed("the end")
	})
	bubble(t, func(t *testing.T) { // Close gives no notice
		st, p := serverPeer(t)
		p.extend()
		st.server.Close()
		p.wantClosed("the end")
	})
}

// A client that does not read its notice does not hold up Shutdown.
func TestShutdownOfUnreadNotice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t)
		const full = 150
		st.l.capacity = full
		p := st.dial()
		p.extend()
		testPairConn(t, st.server).conn.ch.conn.Write(make([]byte, full)) // there is no room left
		start := time.Now()
		if err := st.server.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(start); took > 2*lingerLimit {
			t.Errorf("Shutdown took %v", took)
		}
	})
}
