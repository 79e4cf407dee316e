package ttrpc

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCall(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	ctx := testContext(t)
	for _, n := range []int{0, 1, 100, 4000, 5000, 16 << 10, 64 << 10, 1 << 20, 4<<20 - 100} {
		if err := echo(ctx, c, strings.Repeat("x", n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	err := c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{})
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("Fail: got %v, want AlreadyExists", err)
	}
}

func TestCallsAtOnce(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := 0; i < 200; i++ {
		i := i
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 50; j++ {
				if err := echo(ctx, c, strings.Repeat(fmt.Sprint(i, j), 1+i*j%100)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestStreams(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	ctx := testContext(t)
	open := func(method string, client, server bool, req any) ClientStream {
		t.Helper()
		cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: client, StreamingServer: server}, testService, method, req)
		if err != nil {
			t.Fatal(err)
		}
		return cs
	}
	wantEOF := func(cs ClientStream) {
		t.Helper()
		for i := 0; i < 2; i++ {
			if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
				t.Errorf("after the last message: got %v, want EOF", err)
			}
		}
	}

	cs := open("Repeat", false, true, &KeyValue{Key: "a", Value: "12345"})
	for i := 0; i < 5; i++ {
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil || m.Value != "12345" {
			t.Fatalf("Repeat: message %d is %v, %v", i, &m, err)
		}
	}
	wantEOF(cs)

	cs = open("Join", true, false, nil)
	for i := 0; i < 10; i++ {
		if err := cs.SendMsg(&KeyValue{Value: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil || m.Value != "0123456789" {
		t.Fatalf("Join: %v, %v", &m, err)
	}
	wantEOF(cs)

	cs = open("EchoStream", true, true, nil)
	for i := 0; i < 10; i++ {
		want := fmt.Sprint("round ", i)
		if err := cs.SendMsg(&KeyValue{Value: want}); err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&m); err != nil || m.Value != want {
			t.Fatalf("EchoStream: %v, %v", &m, err)
		}
	}
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	wantEOF(cs)
	if n := len(c.conn.streams); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

func TestCallDeadline(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	ctx, cancel := context.WithCancel(testContext(t))
	errs := make(chan error, 1)
	go func() { errs <- c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{}) }()
	cancel()
	if err := <-errs; err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := echo(testContext(t), c, "after"); err != nil {
		t.Error(err)
	}
}

// A response without a status is a success, and so is one with code 0 and any text.
func TestSuccessWithoutStatus(t *testing.T) {
	c, w := wireClient(t)
	payload := mustMarshal(&KeyValue{Value: "v"})
	for name, resp := range map[string]*Response{
		"no status":        {Payload: payload},
		"empty status":     {Status: &spb.Status{}, Payload: payload},
		"code 0 with text": {Status: &spb.Status{Message: "all is well"}, Payload: payload},
	} {
		var m KeyValue
		call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &m) })
		h, _ := w.readRequest()
		w.respond(h.id, resp)
		if err := within(t, "Call", call); err != nil || m.Value != "v" {
			t.Errorf("%s: got %q, %v", name, m.Value, err)
		}

		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ = w.readRequest()
		w.respond(h.id, resp)
		if err := cs.RecvMsg(&m); err != nil || m.Value != "v" {
			t.Errorf("%s, stream: got %q, %v", name, m.Value, err)
		}
		if err := cs.RecvMsg(&m); err != io.EOF {
			t.Errorf("%s, stream: afterwards %v, want io.EOF", name, err)
		}
	}
}
