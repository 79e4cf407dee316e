//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The flags of a request say which kind of method its caller means. A released client sends
// the same flags, and gets the same answer, at once.
func TestKindOfMethod(t *testing.T) {
	kinds := map[string]flags{"unary": 0, "server's stream": flagRemoteClosed, "client's stream": flagRemoteOpen}
	const (
		fits     = ""
		isUnary  = " is unary; call it with Call"
		isStream = " is a stream; call it with NewStream"
		takesOne = " takes one message; call it with NewStream without StreamingClient"
	)
	for method, want := range map[string]map[string]string{
		// One message and the end of the client's: an answer can fit.
		"Hold":       {"unary": fits, "server's stream": fits, "client's stream": isUnary},
		"HoldServer": {"unary": isStream, "server's stream": fits, "client's stream": takesOne},
		"HoldClient": {"unary": isStream, "server's stream": fits, "client's stream": fits},
		"HoldStream": {"unary": isStream, "server's stream": fits, "client's stream": fits},
	} {
		for kind, fl := range kinds {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t)
				// Clients of some kinds add further flags.
				for i, fl := range []flags{fl, fl | flagNoData, fl | 0x80} {
					id := streamID(1 + 2*i)
					if want[kind] == fits {
						st.start(p, request(id, method, fl, text("x")))
						continue
					}
					p.send(request(id, method, fl, nil))
					if got := p.wantStatus(method+" as "+kind, id, codes.Unimplemented).GetMessage(); got != "/"+testService+"/"+method+want[kind] {
						t.Errorf("%s called as %s: the status says %q, want %q", method, kind, got, want[kind])
					}
					p.send(data(id, 0, text("late")), data(id, flagRemoteClosed|flagNoData, nil))
					p.wantNothing("the rest of a stream that was refused")
				}
				p.alive("after", 99)
			})
		}
	}
}

// The same holds through the API, for each pair of kinds.
func TestKindOfMethodClient(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	ctx := testContext(t)
	type call func(method string) error
	stream := func(desc *StreamDesc) call {
		return func(method string) error {
			cs, err := c.NewStream(ctx, desc, testService, method, text("x"))
			if err == nil && desc.StreamingClient {
				err = cs.CloseSend()
			}
			for err == nil {
				err = cs.RecvMsg(&KeyValue{})
			}
			if err == io.EOF {
				err = nil
			}
			return err
		}
	}
	calls := map[string]call{
		"unary":  func(method string) error { return c.Call(ctx, testService, method, text("x"), &KeyValue{}) },
		"server": stream(fromServer),
		"client": stream(fromClient),
		"bidi":   stream(bidi),
	}
	for _, test := range []struct {
		call, method, want string
	}{
		{"unary", "Echo", ""},
		{"server", "Echo", ""},
		{"client", "Echo", "is unary; call it with Call"},
		{"bidi", "Echo", "is unary; call it with Call"},
		{"unary", "Repeat", "is a stream; call it with NewStream"},
		{"server", "Repeat", ""},
		{"client", "Repeat", "takes one message"},
		{"bidi", "Repeat", "takes one message"},
		{"unary", "Join", "is a stream; call it with NewStream"},
		{"server", "Join", ""},
		{"client", "Join", ""},
		{"bidi", "Join", ""},
		{"unary", "EchoStream", "is a stream; call it with NewStream"},
		{"server", "EchoStream", ""},
		{"client", "EchoStream", "data from a server that does not stream"},
		{"bidi", "EchoStream", ""},
	} {
		err := calls[test.call](test.method)
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s call of %s: got %v, want %q", test.call, test.method, err, test.want)
		case strings.HasPrefix(test.want, "is ") && status.Code(err) != codes.Unimplemented:
			t.Errorf("%s call of %s: got %v, want Unimplemented", test.call, test.method, err)
		}
	}
	if err := echo(context.Background(), c, "after"); err != nil {
		t.Error(err)
	}
	waitNoStreams(t, c)
}
