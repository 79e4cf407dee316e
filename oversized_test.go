package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Whoever refuses a message for its length, the client gets one text, that of
// every release, and not a status inside of another's.
func TestOversizedStatusText(t *testing.T) {
	big := &KeyValue{Value: strings.Repeat("x", defaultMaxMessageLength)}
	desc := echoMethods()
	desc.Methods["Big"] = func(context.Context, func(any) error) (any, error) { return big, nil }
	desc.Methods["Tell"] = func(context.Context, func(any) error) (any, error) {
		return nil, OversizedMessageError(5 << 20)
	}
	_, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	generous := dialTest(t, addr, WithClientLimits(Limits{MaxMessageLength: 8 << 20}))

	for _, test := range []struct {
		name   string
		client *Client
		method string
		req    *KeyValue
		local  bool // refused before it is sent
	}{
		{"request, by its sender", c, "Echo", big, true},
		{"request, by its receiver", generous, "Echo", big, false},
		{"response, by its sender", c, "Big", &KeyValue{}, false},
		{"as a handler's error", c, "Tell", &KeyValue{}, false},
	} {
		err := test.client.Call(testContext(t), testService, test.method, test.req, &KeyValue{})
		st := status.Convert(err)
		var length, maximum int
		n, _ := fmt.Sscanf(st.Message(), "message length %d exceed maximum message size of %d", &length, &maximum)
		if st.Code() != codes.ResourceExhausted || n != 2 || length <= maximum || maximum != 4<<20 {
			t.Errorf("%s: got %v", test.name, err)
		}
		var oversized *OversizedMessageErr
		if errors.As(err, &oversized) != test.local {
			t.Errorf("%s: an *OversizedMessageErr is %v, want %v", test.name, !test.local, test.local)
		}
	}
}
