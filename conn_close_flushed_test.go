package ttrpc

import (
	"io"
	"testing"
	"time"
)

// leaves returns the state of a connection's end: whether it is about to end, the time that
// it has left, and the error of one that has ended.
func leaves(cn *conn) (leaving bool, left time.Duration, err error) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.endTimer != nil {
		left = time.Duration(cn.endTime - clock())
	}
	return cn.leaving, left, cn.err
}

// A connection with queued frames is closed at once unless this side ends it.
func TestCloseChannelWithQueuedFrame(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{{io.EOF, true}, {ErrClosed, false}, {ErrServerClosed, false}} {
		near, far := memPipe(0)
		cn := scriptedConn(t, near, &scriptedEndpoint{})
		write := holdFrame(t, cn)
		cn.closeChannel(test.err)
		if got := far.ended(); got != test.want {
			t.Errorf("%v: closed at once: %v, want %v", test.err, got, test.want)
		}
		if !test.want {
			write()
			far.takeAll()
		}
		if !far.ended() {
			t.Errorf("%v: the connection is not closed", test.err)
		}
	}
}

// Without queued frames, no goroutine waits for the end of writing.
func TestCloseChannelWithoutFrames(t *testing.T) {
	settle(t)
	near, _ := memPipe(0)
	scriptedConn(t, near, &scriptedEndpoint{}).closeChannel(ErrClosed)
	if list := goroutinesOf("ttrpc.(*conn)"); len(list) > 0 {
		t.Errorf("goroutines are left: %v", list)
	}
}

// A drained connection ends at once if the last response is not recent, and otherwise so
// that the client has farewell to handle the response.
func TestCloseFlushedFarewell(t *testing.T) {
	for name, test := range map[string]struct {
		last, held bool
		ago        time.Duration
		atOnce     bool
	}{
		"no response":              {atOnce: true},
		"an old response":          {last: true, ago: farewell, atOnce: true},
		"a recent response":        {last: true, ago: -time.Hour},
		"written now":              {held: true},
		"written after an old one": {held: true, last: true, ago: time.Hour},
	} {
		near, _ := memPipe(0)
		cn := scriptedConn(t, near, &scriptedEndpoint{})
		if test.last {
			cn.lastReply.Store(clock() - int64(test.ago))
		}
		write := func() {}
		if test.held {
			write = holdFrame(t, cn)
		}
		cn.closeFlushed()
		if leaving, _, err := leaves(cn); test.held && (err != nil || leaving) {
			t.Errorf("%s: %v, leaving %v, before the frame is written", name, err, leaving)
		}
		write()
		leaving, left, err := leaves(cn)
		if test.atOnce && (err != ErrServerClosed || leaving) {
			t.Errorf("%s: got %v, leaving %v, want the end", name, err, leaving)
		}
		if !test.atOnce && (!leaving || err == nil && left == 0) {
			t.Errorf("%s: got %v, leaving %v, and %v left", name, err, leaving, left)
		}
		cn.fail(ErrClosed)
	}
}

// On TCP a drained connection only stops sending, and ends within lingerLimit.
func TestCloseFlushedTCP(t *testing.T) {
	ours, theirs := tcpPair(t)
	cn := scriptedConn(t, ours, &scriptedEndpoint{})
	cn.closeFlushed()
	leaving, left, err := leaves(cn)
	if err == nil && left == 0 || !leaving || left > lingerLimit {
		t.Errorf("got %v, leaving %v, and %v left", err, leaving, left)
	}
	theirs.SetReadDeadline(time.Now().Add(testTimeout))
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer reads %v, want EOF", err)
	}
	within(t, "the end", cn.done)
}
