package ttrpc

import (
	"context"
	"testing"
)

// ShutdownNotice tells the handlers of calls and streams, also through derived contexts,
// when Shutdown or Close begins.
func TestShutdownNotice(t *testing.T) {
	for name, stop := range map[string]func(*Server) error{
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
		"Close":    (*Server).Close,
	} {
		started := make(chan struct{}, 2)
		noticed := make(chan error, 2)
		wait := func(ctx context.Context) {
			type key struct{}
			notice := ShutdownNotice(context.WithValue(ctx, key{}, 1))
			select {
			case <-notice:
				t.Errorf("%s: notice before it", name)
			default:
			}
			started <- struct{}{}
			<-notice
			noticed <- ctx.Err()
		}
		s := newServer(t, &ServiceDesc{
			Methods: map[string]Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				wait(ctx)
				return &KeyValue{}, nil
			}},
			Streams: map[string]Stream{"Wait2": {StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
				wait(ctx)
				return nil, ss.SendMsg(&KeyValue{Value: "bye"})
			}}},
		}, usuallyBusy)
		c, _ := servePipe(t, s, context.Background())
		call := goErr(func() error { return c.Call(testContext(t), testService, "Wait", &KeyValue{}, &KeyValue{}) })
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Wait2", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		within(t, "a handler", started)
		within(t, "a handler", started)
		stopped := goErr(func() error { return stop(s) })
		for i := 0; i < 2; i++ {
			if err := within(t, "a notice", noticed); name == "Shutdown" && err != nil {
				t.Errorf("%s: the context had ended: %v", name, err)
			}
		}
		if err := within(t, name, stopped); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		callErr := within(t, "the call", call)
		var got KeyValue
		streamErr := cs.RecvMsg(&got)
		if name == "Shutdown" && (callErr != nil || streamErr != nil || got.Value != "bye") {
			t.Errorf("the call got %v, the stream %q, %v", callErr, got.Value, streamErr)
		}
	}
}

// A context outside of handlers has no notice. Getting a notice costs nothing.
func TestShutdownNoticeElsewhere(t *testing.T) {
	if notice := ShutdownNotice(context.Background()); notice != nil {
		t.Error("there is a channel outside of a handler")
	}
	s := newServer(t, echoMethods(), usuallyBusy)
	var ctx context.Context = &callContext{call: &serverCall{sc: &serverConn{serving: s.newServing(context.Background())}}}
	if n := testing.AllocsPerRun(100, func() { ShutdownNotice(ctx) }); n != 0 && !raceEnabled {
		t.Errorf("ShutdownNotice allocates %v times", n)
	}
	if ctx.(*callContext).standard.Load() != nil {
		t.Error("ShutdownNotice makes the context's own state")
	}
}
