//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// metadataOf is a metadata frame of a script.
func metadataOf(id streamID, kind metadataKind, md MD) rawFrame {
	frame, err := metadataFrame(id, kind, md)
	if err != nil {
		panic(err)
	}
	defer frame.release()
	return rawFrame{typ: messageTypeMetadata, body: append([]byte(nil), frame.b[headerLength:]...)}
}

// describing is a service whose handlers set metadata.
func describing() *ServiceDesc {
	set := func(ctx context.Context) error {
		return errors.Join(SetHeader(ctx, MD{"Head": {"1"}}), SetHeader(ctx, MD{"head": {"2"}}), SetTrailer(ctx, MD{"trail": {"3"}}))
	}
	return &ServiceDesc{
		Methods: map[string]Method{
			"Good": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				return &KeyValue{}, set(ctx)
			},
			"Bad": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				return nil, errors.Join(set(ctx), status.Error(codes.Aborted, "bad"))
			},
			"Panics": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				if err := set(ctx); err != nil {
					return nil, err
				}
				panic("of the test")
			},
			"Nothing": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				return &KeyValue{}, errors.Join(SetHeader(ctx, nil), SetHeader(ctx, MD{"none": nil}), SendHeader(ctx, nil), SetTrailer(ctx, MD{}))
			},
		},
		Streams: map[string]Stream{
			"Stream": {
				StreamingServer: true,
				Handler: func(ctx context.Context, ss StreamServer) (any, error) {
					if err := set(ctx); err != nil {
						return nil, err
					}
					for i := 0; i < 2; i++ {
						if err := ss.SendMsg(&KeyValue{}); err != nil {
							return nil, err
						}
					}
					if err := SetHeader(ctx, MD{"late": {"x"}}); status.Code(err) != codes.Internal {
						return nil, fmt.Errorf("SetHeader after a message: %v", err)
					}
					return nil, SetTrailer(ctx, MD{"trail": {"4"}})
				},
			},
			"Plain": {
				StreamingServer: true,
				Handler: func(ctx context.Context, ss StreamServer) (any, error) {
					if err := ss.SendMsg(&KeyValue{}); err != nil {
						return nil, err
					}
					if err := SetHeader(ctx, MD{"late": {"x"}}); status.Code(err) != codes.Internal {
						return nil, fmt.Errorf("SetHeader after a message: %v", err)
					}
					return nil, SetTrailer(ctx, MD{"trail": {"5"}})
				},
			},
			"BadStream": {
				StreamingServer: true,
				Handler: func(ctx context.Context, ss StreamServer) (any, error) {
					return nil, errors.Join(set(ctx), status.Error(codes.Aborted, "bad"))
				},
			},
		},
	}
}

// wantMetadata checks a ResponseMetadata.
func wantMetadata(t *testing.T, why string, r *ResponseMetadata, header, trailer MD) {
	t.Helper()
	if got := r.Header(); !reflect.DeepEqual(got, header) {
		t.Errorf("%s: the header is %v, want %v", why, got, header)
	}
	if got := r.Trailer(); !reflect.DeepEqual(got, trailer) {
		t.Errorf("%s: the trailer is %v, want %v", why, got, trailer)
	}
}

// Metadata of responses comes with calls and streams, with errors, too, through
// interceptors, and on the first call of a connection.
func TestResponseMetadata(t *testing.T) {
	_, addr := newTestServer(t, describing(),
		WithUnaryServerInterceptor(func(ctx context.Context, unmarshal Unmarshaler, _ *UnaryServerInfo, next Method) (any, error) {
			resp, err := next(context.WithValue(ctx, callKey{}, ctx.Value(callKey{})), unmarshal)
			if GetMetadata(ctx); err != nil {
				return resp, err
			}
			return resp, SetTrailer(ctx, MD{})
		}),
		WithServerPanicHandler(func(context.Context, string, any, []byte) error { return status.Error(codes.Aborted, "bad") }))
	header, trailer := MD{"head": {"1", "2"}}, MD{"trail": {"3"}}
	var seen ResponseMetadata
	opts := map[string][]ClientOpts{
		"": nil,
		" through an interceptor": {WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
			return next(WithResponseMetadata(ctx, &seen), req, resp)
		})},
	}
	for method, want := range map[string]codes.Code{"Good": codes.OK, "Bad": codes.Aborted, "Panics": codes.Aborted} {
		for how, opts := range opts {
			c := dialTest(t, addr, opts...)
			var r ResponseMetadata
			ctx := WithResponseMetadata(testContext(t), &r)
			for i := 0; i < 2; i++ {
				if err := c.Call(ctx, testService, method, &KeyValue{}, &KeyValue{}); status.Code(err) != want {
					t.Errorf("%s%s: %v", method, how, err)
				}
				wantMetadata(t, method+how, &r, header, trailer)
				if how != "" {
					wantMetadata(t, method+", the interceptor's", &seen, header, trailer)
				}
			}
			if err := c.Call(ctx, testService, "Nothing", &KeyValue{}, &KeyValue{}); err != nil {
				t.Error(err)
			}
			wantMetadata(t, "a call without metadata", &r, nil, nil)
			if err := c.Call(testContext(t), testService, "Good", &KeyValue{}, &KeyValue{}); err != nil {
				t.Errorf("a caller who does not ask: %v", err)
			}
			wantMetadata(t, "a call of another", &r, nil, nil)
		}
	}
}

func TestResponseMetadataOfStreams(t *testing.T) {
	_, addr := newTestServer(t, describing())
	for method, test := range map[string]struct {
		messages        int
		code            codes.Code
		header, trailer MD
	}{
		"Stream":    {2, codes.OK, MD{"head": {"1", "2"}}, MD{"trail": {"3", "4"}}},
		"Plain":     {1, codes.OK, nil, MD{"trail": {"5"}}},
		"BadStream": {0, codes.Aborted, MD{"head": {"1", "2"}}, MD{"trail": {"3"}}},
	} {
		var r ResponseMetadata
		c := dialTest(t, addr)
		cs, err := c.NewStream(WithResponseMetadata(testContext(t), &r), &StreamDesc{StreamingServer: true}, testService, method, &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < test.messages; i++ {
			if err := cs.RecvMsg(&KeyValue{}); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			if got := r.Header(); !reflect.DeepEqual(got, test.header) {
				t.Errorf("%s, at a message: the header is %v, want %v", method, got, test.header)
			}
		}
		if err := cs.RecvMsg(&KeyValue{}); err == nil || test.code != codes.OK && status.Code(err) != test.code {
			t.Errorf("%s ends with %v", method, err)
		}
		wantMetadata(t, method, &r, test.header, test.trailer)
	}
}

// The frames go where PROTOCOL.md wants them, in one write with the message or the
// response, and to a client alone that has offered.
func TestServerSendsMetadata(t *testing.T) {
	header, trailer := MD{"h": {"1"}}, MD{"t": {"2"}}
	for name, offers := range map[string]bool{"a client that offers": true, "a release": false} {
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			send := func(f rawFrame) *heldCall {
				if offers {
					f = withOffer(f)
				}
				p.send(f)
				return <-st.held
			}
			want := func(why string, frames ...rawFrame) {
				t.Helper()
				for _, f := range frames {
					if offers || f.typ != messageTypeMetadata {
						p.want(name+": "+why, f)
					}
				}
				p.wantNothing(name + ": " + why)
			}
			set := func(call *heldCall) {
				t.Helper()
				if err := errors.Join(SetHeader(call.ctx, header), SetTrailer(call.ctx, trailer)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			call := send(request(1, "Hold", 0, nil))
			if offers {
				p.want("an offer", settingsOf(defaultConnConfig.settings()))
			}
			set(call)
			want("nothing yet")
			call.returns(nil, status.Error(codes.Aborted, "bad"))
			want("an error", metadataOf(1, metadataHeader, header), metadataOf(1, metadataTrailer, trailer), failure(1, codes.Aborted, "bad"))
			if err := SetTrailer(call.ctx, trailer); err != ErrStreamClosed {
				t.Errorf("%s: after the call: %v", name, err)
			}

			call = send(request(3, "HoldStream", flagRemoteOpen, nil))
			set(call)
			if err := call.ss.SendMsg(text("x")); err != nil {
				t.Fatal(err)
			}
			want("a message", metadataOf(3, metadataHeader, header), data(3, 0, text("x")))
			if err := SendHeader(call.ctx, header); status.Code(err) != codes.Internal {
				t.Errorf("%s: SendHeader after a message: %v", name, err)
			}
			call.returns(nil, nil)
			want("the end", metadataOf(3, metadataTrailer, trailer), data(3, flagRemoteClosed|flagNoData, nil))

			call = send(request(5, "Hold", 0, nil))
			if err := SendHeader(call.ctx, header); err != nil {
				t.Error(err)
			}
			want("SendHeader", metadataOf(5, metadataHeader, header))
			if err := SendHeader(call.ctx, header); status.Code(err) != codes.Internal {
				t.Errorf("%s: SendHeader again: %v", name, err)
			}
			call.returns(text("y"), nil)
			want("its response", response(5, text("y")))
		})
	}
}

// SetHeader and SetTrailer refuse more than a client takes.
func TestSetMetadataRefuses(t *testing.T) {
	for _, f := range []func(context.Context, MD) error{SetHeader, SendHeader, SetTrailer} {
		if err := f(context.Background(), MD{"k": {"v"}}); status.Code(err) != codes.Internal {
			t.Errorf("outside of a handler: %v", err)
		}
	}
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.send(withOffer(request(1, "Hold", 0, nil)))
		p.next("settings")
		call := <-st.held
		half := strings.Repeat("x", maxResponseMetadata/2-metadataOverhead-1)
		for _, test := range []struct {
			set  func(context.Context, MD) error
			md   MD
			want codes.Code
		}{
			{SetHeader, MD{"h": {half}}, codes.OK},
			{SetTrailer, MD{"t": {half, ""}}, codes.ResourceExhausted},
			{SetTrailer, MD{"t": {half}}, codes.OK},
			{SendHeader, MD{"h": {""}}, codes.ResourceExhausted},
			{SetHeader, MD{"h": {"\xff"}}, codes.Unknown},
			{SetTrailer, MD{"\xff": {""}}, codes.Unknown},
		} {
			if err := test.set(call.ctx, test.md); status.Code(err) != test.want {
				t.Errorf("got %.100v, want %v", err, test.want)
			}
		}
		call.returns(text("x"), nil)
		p.want("the most that there can be", metadataOf(1, metadataHeader, MD{"h": {half}}), metadataOf(1, metadataTrailer, MD{"t": {half}}), response(1, text("x")))
	})
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		req := request(1, "Hold", 0, nil)
		small := defaultConnConfig.settings()
		small.maxMessage = 4096
		req.body = small.appendOffer(req.body)
		p.send(req)
		p.next("settings")
		call := <-st.held
		if err := SetHeader(call.ctx, MD{"h": {strings.Repeat("x", 4090)}}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("more than fits into a frame: %v", err)
		}
		if err := SetHeader(call.ctx, MD{"h": {strings.Repeat("x", 4000)}}); err != nil {
			t.Errorf("as much as fits: %v", err)
		}
		call.returns(text("x"), nil)
		if f := p.next("the header"); f.typ != messageTypeMetadata || len(f.body) > 4096 {
			t.Errorf("got %v", f)
		}
		p.want("the response", response(1, text("x")))
	})
}

// Goroutines of a handler set metadata and send messages at once, and the header comes
// first.
func TestSetMetadataConcurrently(t *testing.T) {
	c, _ := newTestPair(t, &ServiceDesc{Streams: map[string]Stream{"Many": {
		StreamingServer: true,
		Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			if err := SetHeader(ctx, MD{"h": {"1"}}); err != nil {
				return nil, err
			}
			var wg sync.WaitGroup
			for i := 0; i < 8; i++ {
				wg.Add(1)
				go func() {
					defer wg.Done()
					SetHeader(ctx, MD{"late": {"x"}})
					ss.SendMsg(&KeyValue{})
					SetTrailer(ctx, MD{"t": {"2"}})
				}()
			}
			go SetTrailer(ctx, MD{"perhaps": {"x"}})
			wg.Wait()
			return nil, nil
		},
	}}})
	for i := 0; i < 50; i++ {
		var r ResponseMetadata
		cs, err := c.NewStream(WithResponseMetadata(testContext(t), &r), &StreamDesc{StreamingServer: true}, testService, "Many", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 8; i++ {
			if err := cs.RecvMsg(&KeyValue{}); err != nil {
				t.Fatal(err)
			}
			if got, _ := r.Header().Get("h"); len(got) != 1 {
				t.Fatalf("at message %d: the header is %v", i, r.Header())
			}
		}
		cs.RecvMsg(&KeyValue{})
		if got, _ := r.Trailer().Get("t"); len(got) != 8 {
			t.Errorf("the trailer is %v", r.Trailer())
		}
	}
}
