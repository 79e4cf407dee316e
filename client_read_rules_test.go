//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestClientFramesInPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		for _, b := range response(1, text("slowly")).encode() {
			p.sendBytes([]byte{b})
			synctest.Wait()
		}
		call.wantValue("byte by byte", "slowly")
	})
}

// A client must ignore frames for streams that it does not have, and of types that it
// does not know.
func TestClientIgnores(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.send(
			response(3, text("of nobody")),
			response(2, text("even")),
			response(0, text("zero")),
			data(7, flagRemoteClosed, text("of nobody")),
			rawFrame{id: 1, typ: 0, body: []byte("unknown type")},
			rawFrame{id: 1, typ: messageTypeRequest, body: []byte("from a server")},
			rawFrame{id: 1, typ: 4, flags: 0xff},
			rawFrame{id: 2, typ: 0xff},
			rawFrame{},
		)
		call.wantPending("nothing of that is the response")
		p.send(response(1, text("this is")), response(1, text("again")))
		call.wantValue("the response", "this is")
		p.wantNothing("a client answers nothing")
	})
}

func TestClientOversized(t *testing.T) {
	const limit = 1000
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientLimits(Limits{MaxMessageLength: limit}))
		var tooLong *OversizedMessageErr

		// Sent messages.
		call := goCall(t, context.Background(), c, text(strings.Repeat("x", limit)))
		err := call.err("an oversized request")
		if !errors.As(err, &tooLong) || status.Code(err) != codes.ResourceExhausted {
			t.Errorf("an oversized request: got %v", err)
		} else if tooLong.RejectedLength() <= limit || tooLong.MaximumLength() != limit {
			t.Errorf("an oversized request: %d bytes of at most %d", tooLong.RejectedLength(), tooLong.MaximumLength())
		}
		cs := open(t, context.Background(), c, bidi, nil)
		p.wantRequest("nothing of the oversized request was sent", 1, flagRemoteOpen|flagNoData)
		if err := cs.SendMsg(text(strings.Repeat("x", limit))); !errors.As(err, &tooLong) {
			t.Errorf("an oversized message: got %v", err)
		}
		p.wantNothing("nothing of the oversized message was sent")
		fits := strings.Repeat("x", limit-3)
		if err := cs.SendMsg(text(fits)); err != nil {
			t.Errorf("a message of just the limit: %v", err)
		}
		p.want("a message of just the limit", data(1, 0, text(fits)))

		// Received messages.
		call = goCall(t, context.Background(), c, text("x"))
		p.wantRequest("a call", 3, 0)
		p.send(data(1, 0, text(fits)), rawFrame{id: 3, typ: messageTypeResponse, body: make([]byte, limit+1)})
		if err := call.err("an oversized response"); !errors.As(err, &tooLong) || status.Code(err) != codes.ResourceExhausted {
			t.Errorf("an oversized response: got %v", err)
		}
		p.send(rawFrame{id: 1, typ: messageTypeData, body: make([]byte, limit+1)}, data(1, 0, text("late")))
		wantMsg(t, cs, "what came before", fits)
		for i := 0; i < 2; i++ {
			if _, err := recvNow(cs); !errors.As(err, &tooLong) {
				t.Errorf("oversized data: got %v", err)
			}
		}
		wantNoStreams(t, c)
		call = goCall(t, context.Background(), c, text("x"))
		p.wantRequest("the connection goes on", 5, 0)
		p.send(rawFrame{id: 99, typ: 9, body: make([]byte, limit+1)}, response(5, text("fine")))
		call.wantValue("the connection goes on", "fine")
	})
}

func TestClientReservedByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.sendBytes([]byte{1, 0, 0, 0, 0, 0, 0, 1, 2, 0})
		if err := call.err("the first byte of a header is not zero"); !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrProtocol and ErrClosed", err)
		}
		p.wantClosed("the first byte of a header is not zero")
	})
}
