//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

// These tests negotiate extensions between one side with this library and a script.

// testOffer is the offer of a client with default limits.
func testOffer() []byte { return defaultConnConfig.settings().appendOffer(nil) }

// withOffer adds the offer to a request.
func withOffer(f rawFrame) rawFrame {
	f.body = append(bytes.Clone(f.body), testOffer()...)
	return f
}

// settingsOf returns a settings frame.
func settingsOf(s settings) rawFrame {
	return rawFrame{typ: messageTypeSettings, body: s.append(nil)}
}

var ack = rawFrame{typ: messageTypeSettings, flags: flagAck}

// A client offers in small requests until it has an answer. If the server does not know the
// offer, the client goes on without extensions.
func TestClientOffersUntilAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		first := goCall(t, context.Background(), c, text("1"))
		p.want("the first call", withOffer(request(1, "Echo", 0, text("1"))))
		second := goCall(t, context.Background(), c, text("2"))
		p.want("another before an answer", withOffer(request(3, "Echo", 0, text("2"))))
		cs := open(t, context.Background(), c, bidi, text("3"))
		p.want("a stream", withOffer(request(5, "EchoStream", flagRemoteOpen, text("3"))))
		big := strings.Repeat("x", maxOfferRequest)
		third := goCall(t, context.Background(), c, text(big))
		p.want("one that is too long", request(7, "Echo", 0, text(big)))

		p.send(response(7, text("big")))
		third.wantValue("the answer to a request without an offer", "big")
		fourth := goCall(t, context.Background(), c, text("4"))
		p.want("after an answer that says nothing", withOffer(request(9, "Echo", 0, text("4"))))

		p.send(data(5, 0, text("streamed")))
		wantMsg(t, cs, "an answer to an offer", "streamed")
		fifth := goCall(t, context.Background(), c, text("5"))
		p.want("after that", request(11, "Echo", 0, text("5")))
		p.send(settingsOf(defaultConnConfig.settings())) // too late
		p.wantNothing("plain for good")
		p.send(response(1, text("1")), response(3, text("2")), response(9, text("4")), response(11, text("5")), data(5, flagRemoteClosed|flagNoData, nil))
		for i, call := range []*clientCall{first, second, fourth, fifth} {
			call.wantValue("the answer", []string{"1", "2", "4", "5"}[i])
		}
	})
}

// An answer to a call that was given up decides nothing.
func TestClientOffersAfterGivingUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		ctx, cancel := context.WithCancel(context.Background())
		call := goCall(t, ctx, c, text("1"))
		p.want("the first call", withOffer(request(1, "Echo", 0, text("1"))))
		cancel()
		if err := <-call.result; err != context.Canceled {
			t.Errorf("given up: got %v", err)
		}
		p.send(response(1, text("1")))
		goCall(t, context.Background(), c, text("2"))
		p.want("the next one", withOffer(request(3, "Echo", 0, text("2"))))
	})
}

// A client omits an offer that would make a request too long.
func TestClientOfferFitsTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		full := request(1, "Echo", 0, text("1"))
		limit := len(full.body) + defaultConnConfig.settings().sizeOffer() - 4
		c, p := clientPeer(t, WithClientLimits(Limits{MaxMessageLength: limit}))
		goCall(t, context.Background(), c, text("1"))
		p.want("a request below the limit", full)
	})
}

// A client acknowledges settings once, and ends a connection on which another program
// answers its frames.
func TestClientAcknowledges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		own := defaultConnConfig.settings()
		p.send(settingsOf(own))
		p.wantNothing("settings that nobody asked for")
		call := goCall(t, context.Background(), c, text("1"))
		p.want("a call", withOffer(request(1, "Echo", 0, text("1"))))
		p.send(
			rawFrame{typ: messageTypeSettings},                                        // of no version
			rawFrame{typ: messageTypeSettings, body: []byte("\x08")},                  // cut off
			rawFrame{typ: messageTypeSettings, flags: flagAck, body: own.append(nil)}, // of a client
			rawFrame{id: 2, typ: messageTypeSettings, body: own.append(nil)},
			failure(0, codes.InvalidArgument, "a stray response"),
		)
		p.wantNothing("no settings")
		p.send(settingsOf(own))
		p.want("settings", ack)
		goCall(t, context.Background(), c, text("2"))
		p.want("a call after that", request(3, "Echo", 0, text("2")))
		p.send(settingsOf(own), rawFrame{typ: lastExtensionType, body: []byte("later")}, rawFrame{typ: messageTypeData})
		p.wantNothing("settings again, and frames that are not known")
		call.wantPending("all of that")

		p.send(failure(0, codes.InvalidArgument, "somebody else"))
		err := <-call.result
		if !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) {
			t.Errorf("a response on id 0: the call got %v, want ErrClosed and ErrProtocol", err)
		}
	})
}

// A server answers the first offer before anything else, even in a request that it refuses,
// and answers no other offer.
func TestServerAnswersOffer(t *testing.T) {
	own := settingsOf(defaultConnConfig.settings())
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		p.send(withOffer(request(1, "Nothing", 0, nil)))
		p.want("an offer in a request that is refused", own)
		p.want("and the refusal", failure(1, codes.Unimplemented, "unknown method Nothing of service test.Service"))
		p.send(withOffer(request(3, "Echo", 0, text("x"))))
		p.want("another offer", response(3, text("x")))
	})
	for name, offer := range map[string]string{
		"no version": "\xc2\x3e\x00", "cut off": "\xc2\x3e\x01\x08", "another type": "\xc0\x3e\x01",
	} {
		bubble(t, func(t *testing.T) {
			_, p := serverPeer(t)
			req := request(1, "Echo", 0, text("x"))
			req.body = append(req.body, offer...)
			p.send(req)
			p.want("an offer with "+name+" is none", response(1, text("x")))
			p.send(withOffer(request(3, "Echo", 0, text("y"))))
			p.want("a good one", own)
			p.want("and the response", response(3, text("y")))
		})
	}
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t, WithServerExtensions(false))
		p.send(withOffer(request(1, "Echo", 0, text("x"))))
		p.want("a server without extensions", response(1, text("x")))
	})
}

// Frames on id 0 get the answers of releases until the client has acknowledged. After that,
// types other than those of extensions still do.
func TestServerAnswersIDZero(t *testing.T) {
	refusal := failure(0, codes.InvalidArgument, "stream id 0 is not odd, as a client's must be")
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		extension := rawFrame{typ: lastExtensionType, body: []byte("x")}
		probe := rawFrame{}
		for _, f := range []rawFrame{probe, ack, extension} {
			p.send(f)
			p.want("without an offer", refusal)
		}
		p.send(withOffer(request(1, "Echo", 0, text("x"))))
		p.want("an offer", settingsOf(defaultConnConfig.settings()))
		p.want("its request", response(1, text("x")))
		for _, f := range []rawFrame{probe, extension, settingsOf(defaultConnConfig.settings())} {
			p.send(f)
			p.want("without an acknowledgement", refusal)
		}
		p.send(ack)
		p.wantNothing("the acknowledgement")
		p.send(ack, extension, settingsOf(defaultConnConfig.settings()), rawFrame{typ: messageTypeSettings})
		p.wantNothing("frames of extensions after it")
		for _, f := range []rawFrame{probe, {typ: messageTypeRequest}, {typ: messageTypeData}, {typ: messageTypeResponse}, {typ: lastExtensionType + 1}} {
			p.send(f)
			p.want("others", refusal)
		}
		p.send(rawFrame{id: 2, typ: lastExtensionType})
		p.want("another even id", failure(2, codes.InvalidArgument, "stream id 2 is not odd, as a client's must be"))
		p.alive("all of that", 3)
	})
}

// Two sides with this library use extensions after any first call, and interceptors see
// nothing of them.
func TestExtensionsBetweenOurs(t *testing.T) {
	for name, call := range map[string]func(*Client, context.Context) error{
		"call": func(c *Client, ctx context.Context) error { return echo(ctx, c, "x") },
		"refused": func(c *Client, ctx context.Context) error {
			c.Call(ctx, "none", "none", text(""), text(""))
			return nil
		},
	} {
		s, addr := newTestServer(t, echoMethods())
		c := dialTest(t, addr, WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
			if unknown := req.ProtoReflect().GetUnknown(); len(unknown) > 0 {
				t.Errorf("%s: the interceptor sees %q", name, unknown)
			}
			req.ProtoReflect().SetUnknown([]byte("\xc2\x3e\x01\x08")) // of a caller whose request is passed on
			return next(ctx, req, resp)
		}))
		if err := call(c, testContext(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		waitFor(t, "extensions", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for sc := range s.conns {
				return c.conn.ext.is(extended) && sc.conn.ext.is(extended)
			}
			return false
		})
	}
}
