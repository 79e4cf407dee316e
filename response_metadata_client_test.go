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

// A client takes metadata in any order, and fails a call that has too much of it: that call
// alone.
func TestClientTakesMetadata(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClient(c)
		var r ResponseMetadata
		wantMetadata(t, "before the call", &r, nil, nil)
		ctx := WithResponseMetadata(context.Background(), &r)
		call := goCall(t, ctx, c, text("x"))
		p.next("a call")
		p.send(metadataOf(3, metadataHeader, MD{"h": {"1"}}), metadataOf(3, metadataTrailer, MD{"t": {"2"}}),
			metadataOf(3, metadataHeader, MD{"h": {"3"}}), metadataOf(3, 2, MD{"x": {"4"}}),
			metadataOf(5, metadataHeader, MD{"x": {"5"}}), metadataOf(1, metadataHeader, MD{"x": {"6"}}), metadataOf(0, metadataHeader, MD{"x": {"7"}}),
			rawFrame{typ: messageTypeMetadata}, response(3, text("y")), metadataOf(3, metadataTrailer, MD{"x": {"8"}}))
		call.wantValue("the call", "y")
		wantMetadata(t, "the call", &r, MD{"h": {"1", "3"}}, MD{"t": {"2"}})

		ctx2, cancel := context.WithCancel(ctx)
		call = goCall(t, ctx2, c, text("x"))
		p.next("another call")
		wantMetadata(t, "another call", &r, nil, nil)
		p.send(metadataOf(5, metadataHeader, MD{"h": {"1"}}))
		synctest.Wait()
		cancel()
		if err := <-call.result; err != context.Canceled {
			t.Errorf("got %v", err)
		}
		wantMetadata(t, "a call that is given up", &r, MD{"h": {"1"}}, nil)
	})
	for name, ctx := range map[string]context.Context{
		"asked for":     WithResponseMetadata(context.Background(), new(ResponseMetadata)),
		"not asked for": context.Background(),
	} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			p.extendClient(c)
			call := goCall(t, ctx, c, text("x"))
			p.next("a call")
			cs := open(t, ctx, c, bidi, nil)
			p.next("a stream")
			other := goCall(t, ctx, c, text("other"))
			p.next("another call")
			third := MD{"k": {strings.Repeat("x", maxResponseMetadata/3)}}
			for i := 0; i < 3; i++ {
				call.wantPending(name + ": below the limit")
				p.send(metadataOf(3, metadataKind(i%2), third), metadataOf(5, metadataKind(i%2), third))
			}
			if err := <-call.result; status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s: metadata beyond the limit: got %v", name, err)
			}
			if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s: metadata beyond the limit: the stream got %v", name, err)
			}
			for _, id := range []streamID{3, 5} {
				frame := cancellation{id: id, code: codes.Canceled}.frame()
				p.want("what is given up", rawFrame{typ: messageTypeCancel, body: append([]byte(nil), frame.b[headerLength:]...)})
				frame.release()
			}
			p.send(metadataOf(3, metadataHeader, third), response(3, text("late")))
			p.wantNothing("the rest")
			p.send(metadataOf(7, 2, MD{"k": {strings.Repeat("x", maxResponseMetadata)}})) // of a later version
			other.wantPending(name + ": another call")
			next := goCall(t, ctx, c, text("z"))
			p.next("the next call")
			p.send(response(7, text("y")), response(9, text("z")))
			other.wantValue("another call", "y")
			next.wantValue("the next call", "z")
		})
	}
}

func TestClientRefusesBadMetadata(t *testing.T) {
	for name, body := range map[string]string{
		"a frame that is cut off":    "\x08",
		"a pair that is cut off":     "\x08\x03\x1a\x05\x0a\x01k",
		"a string that is not UTF-8": "\x08\x03\x1a\x03\x0a\x01\xff",
		"and for no stream":          "\x08\x05\x1a\x03\x0a\x01\xff",
		"and of another kind":        "\x08\x03\x10\x02\x1a\x03\x0a\x01\xff",
	} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			p.extendClient(c)
			call := goCall(t, context.Background(), c, text("x"))
			p.next("a call")
			p.send(rawFrame{typ: messageTypeMetadata, body: []byte(body)})
			if err := <-call.result; !errors.Is(err, ErrClosed) {
				t.Errorf("%s: got %v", name, err)
			}
			if err := c.Err(); !errors.Is(err, ErrProtocol) {
				t.Errorf("%s: Err is %v", name, err)
			}
		})
	}
	bubble(t, func(t *testing.T) { // of a server that does not know metadata
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("a call")
		bad := rawFrame{typ: messageTypeMetadata, body: []byte("\x08")}
		p.send(bad, settingsOf(settings{version: 1, features: featureCancel}), bad, response(1, text("x")))
		call.wantValue("metadata that is not in use", "x")
	})
}
