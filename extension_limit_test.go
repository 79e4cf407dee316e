package ttrpc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A sender knows the limit of its peer, and sends no message that the peer would drop.
func TestLargestMessageOfPeer(t *testing.T) {
	const low = 64 << 10
	big := &KeyValue{Value: strings.Repeat("x", low)}
	refused := make(chan error, 1)
	desc := echoMethods()
	desc.Methods["Big"] = func(context.Context, func(any) error) (any, error) { return big, nil }
	desc.Streams["BigStream"] = Stream{StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		refused <- ss.SendMsg(big)
		return nil, nil
	}}
	lowLimit := Limits{MaxMessageLength: low}
	ctx := testContext(t)

	_, addr := newTestServer(t, desc, WithServerLimits(lowLimit))
	c := dialTest(t, addr)
	if err := echo(ctx, c, "x"); err != nil {
		t.Fatal(err)
	}
	wantLimit(t, "a request", low, c.Call(ctx, testService, "Echo", big, &KeyValue{}))
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLimit(t, "a message", low, cs.SendMsg(big))

	_, addr = newTestServer(t, desc)
	c = dialTest(t, addr, WithClientLimits(lowLimit))
	if _, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "BigStream", &KeyValue{}); err != nil {
		t.Fatal(err)
	}
	wantLimit(t, "a handler's message", low, within(t, "the handler", refused))
	err = c.Call(ctx, testService, "Big", &KeyValue{}, &KeyValue{})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "maximum message size of 65536: the response was not sent") {
		t.Errorf("a response: got %v", err)
	}
}

func wantLimit(t *testing.T, what string, most int, err error) {
	t.Helper()
	var oversized *OversizedMessageErr
	if !errors.As(err, &oversized) {
		t.Errorf("%s: got %v, want an *OversizedMessageErr", what, err)
	} else if oversized.MaximumLength() != most || oversized.Received() {
		t.Errorf("%s: the maximum is %d, received: %v", what, oversized.MaximumLength(), oversized.Received())
	}
}
