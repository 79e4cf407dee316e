//go:build go1.25

package ttrpc

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A handler that takes a message each second gets all messages that a client sent before it
// went away. If a handler takes none, the remaining messages are dropped, and the stream
// does not end with io.EOF, which would mean that all were received.
func TestServerMessagesAfterEnd(t *testing.T) {
	for _, finished := range []bool{false, true} {
		finished := finished
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			call := st.start(p, request(1, "HoldStream", flagRemoteOpen|flagNoData, nil))
			p.send(data(1, 0, text("a")), data(1, 0, text("b")), data(1, 0, text("c")))
			if finished {
				p.send(data(1, flagRemoteClosed|flagNoData, nil))
			}
			p.conn.Close()
			synctest.Wait()
			for _, value := range []string{"a", "b"} {
				time.Sleep(slowConsumerLimit - tick)
				call.wantRecv(t, "in time", value)
			}
			time.Sleep(2 * slowConsumerLimit)
			call.wantRecvErr(t, "late", ErrClosed)
			call.wantRecvErr(t, "and again", ErrClosed)
			call.returns(nil, nil)
		})
	}
}

// A handler that has received everything in time gets the client's end, however late it
// asks.
func TestServerEndAfterMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		call := st.start(p, request(1, "HoldStream", flagRemoteOpen|flagNoData, nil))
		p.send(data(1, flagRemoteClosed, text("last")))
		p.conn.Close()
		synctest.Wait()
		call.wantRecv(t, "in time", "last")
		time.Sleep(3 * slowConsumerLimit)
		call.wantRecvErr(t, "late", io.EOF)
		call.returns(nil, nil)
	})
}
