//go:build unix

package ttrpc

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Connections that have ended keep neither the bytes of their peers, although the handlers
// of their calls go on and ignore their contexts, nor responses that wait for room.
func TestEndedConnectionsKeepNothing(t *testing.T) {
	if testing.Short() && raceEnabled {
		t.Skip("takes half a minute; the memory is the same without the race detector")
	}
	const reconnects, calls = 100, 4
	const allowed = 24 << 20 // 400 goroutines, and the garbage of this test
	mebibyte := &KeyValue{Value: strings.Repeat("x", 1<<20-100)}
	body := mustMarshal(mebibyte)
	frame := mustMarshal(&Request{Service: testService, Method: "Sleep", Payload: body})
	for name, begin := range map[string]func(w *wire, id streamID){
		"requests": func(w *wire, id streamID) { w.write(header{id: id, typ: messageTypeRequest}, frame) },
		"messages": func(w *wire, id streamID) {
			w.request(id, "SleepStream", flagRemoteOpen|flagNoData, nil)
			w.write(header{id: id, typ: messageTypeData, flags: flagRemoteClosed}, body)
		},
		"responses": func(w *wire, id streamID) { w.request(id, "Big", 0, nil) },
	} {
		begin := begin
		t.Run(name, func(t *testing.T) {
			var started, running atomic.Int64
			wake := make(chan struct{})
			sleep := func() {
				running.Add(1)
				defer running.Add(-1)
				started.Add(1)
				<-wake
			}
			s, addr := newTestServer(t, &ServiceDesc{
				Methods: map[string]Method{
					"Sleep": func(context.Context, func(any) error) (any, error) { sleep(); return mebibyte, nil },
					"Big":   func(context.Context, func(any) error) (any, error) { started.Add(1); return mebibyte, nil },
				},
				Streams: map[string]Stream{"SleepStream": {StreamingClient: true, Handler: func(context.Context, StreamServer) (any, error) {
					sleep()
					return mebibyte, nil
				}}},
			})
			before := heapInUse()
			for i := 1; i <= reconnects; i++ {
				nc, err := dialLocal(addr)
				if err != nil {
					t.Fatal(err)
				}
				w := newWire(nc)
				for id := streamID(1); id < 2*calls; id += 2 {
					begin(w, id)
				}
				waitFor(t, "the handlers", func() bool { return started.Load() == int64(i*calls) })
				w.Close()
			}
			serverIdle(t, s)
			left := heapInUse() - before
			for deadline := time.Now().Add(3 * slowConsumerLimit); left > allowed && time.Now().Before(deadline); {
				time.Sleep(slowConsumerLimit / 20) // streams have a moment to receive
				left = heapInUse() - before
			}
			if left > allowed {
				t.Errorf("%d MiB of heap are left", left>>20)
			}
			close(wake)
			waitFor(t, "the handlers to return", func() bool { return running.Load() == 0 })
		})
	}
}

// Decoding a request after the end of its connection returns ErrClosed, and the handler's
// context has ended by then. Before the end any number of decodes succeed.
func TestDecodeAfterConnectionEnds(t *testing.T) {
	type result struct{ decoded, again, ctx error }
	results := make(chan result, 1)
	begun, ended := make(chan struct{}), make(chan struct{})
	desc := echoMethods()
	desc.Methods["Late"] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
		for i := 0; i < 2; i++ {
			if err := unmarshal(&KeyValue{}); err != nil {
				t.Errorf("before the end: %v", err)
			}
		}
		close(begun)
		<-ended
		r := result{decoded: unmarshal(&KeyValue{}), ctx: ctx.Err()}
		r.again = unmarshal(&KeyValue{})
		results <- r
		return nil, r.decoded
	}
	sc, theirs := servedPair(t, desc)
	w := newWire(theirs)
	w.request(1, "Late", 0, &KeyValue{Value: "x"})
	within(t, "the handler", begun)
	w.Close()
	within(t, "the end of the connection", sc.conn.done)
	close(ended)
	r := within(t, "the handler's decoding", results)
	if r.decoded != ErrClosed || r.again != ErrClosed || r.ctx != context.Canceled {
		t.Errorf("got %v, %v and the context's error %v, want ErrClosed twice and Canceled", r.decoded, r.again, r.ctx)
	}
}

// A stream that fails while its handler runs, such as a unary call whose client sends data,
// also drops its request, and the handler gets the reason.
func TestDecodeAfterStreamFails(t *testing.T) {
	results := make(chan error, 1)
	begun, failed := make(chan struct{}), make(chan struct{})
	desc := echoMethods()
	desc.Methods["Late"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		if err := unmarshal(&KeyValue{}); err != nil {
			t.Errorf("before the end: %v", err)
		}
		close(begun)
		<-failed
		results <- unmarshal(&KeyValue{})
		return nil, nil
	}
	sc, theirs := servedPair(t, desc)
	w := newWire(theirs)
	w.request(1, "Late", 0, &KeyValue{Value: "x"})
	within(t, "the handler", begun)
	w.data(1, 0, &KeyValue{Value: "not on a unary call"})
	waitFor(t, "the end of the stream", func() bool { return tableSize(sc.conn) == 0 })
	close(failed)
	if err := within(t, "the handler's decoding", results); !errors.Is(err, ErrProtocol) {
		t.Errorf("got %v, want an ErrProtocol", err)
	}
}
