package ttrpc

import (
	"testing"

	"google.golang.org/grpc/codes"
)

// Data on a stream that does not exist, or not any more, harms nobody.
func TestDataOnUnknownStream(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	w.data(7, 0, &KeyValue{Value: "x"})
	if id, resp := w.readResponse(); id != 7 || codes.Code(resp.Status.GetCode()) != codes.InvalidArgument {
		t.Errorf("got %d, %v", id, resp)
	}
	w.request(9, "Echo", 0, &KeyValue{Value: "x"})
	w.readResponse()
	w.data(9, 0, &KeyValue{Value: "late"})
	w.request(11, "Echo", 0, &KeyValue{Value: "y"})
	if id, resp := w.readResponse(); id != 11 || resp.Status.GetCode() != 0 {
		t.Errorf("got %d, %v, want the response of 11", id, resp)
	}

	// And the same the other way.
	c, cw := wireClient(t)
	call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}) })
	h, _ := cw.readRequest()
	for _, id := range []streamID{h.id + 2, 0, 2, 4711} {
		cw.data(id, 0, &KeyValue{Value: "x"})
		cw.respond(id, &Response{})
	}
	cw.respond(h.id, &Response{})
	if err := within(t, "Call", call); err != nil {
		t.Error(err)
	}
}

// Data on the id of a unary call ends that call. The server lives, and so do its
// other calls; its handler's response is not sent any more.
func TestDataOnUnaryCall(t *testing.T) {
	g := newGate()
	_, addr := newTestServer(t, g.service())
	w := dialWire(t, addr)
	w.request(1, "Wait", 0, &KeyValue{})
	w.request(3, "Wait", 0, &KeyValue{})
	within(t, "handler", g.started)
	within(t, "handler", g.started)
	w.data(1, 0, &KeyValue{Value: "x"})
	if id, resp := w.readResponse(); id != 1 || codes.Code(resp.Status.GetCode()) != codes.InvalidArgument {
		t.Errorf("got %d, %v", id, resp)
	}
	close(g.proceed)
	if id, resp := w.readResponse(); id != 3 || resp.Status.GetCode() != 0 {
		t.Errorf("got %d, %v, want the response of 3", id, resp)
	}
	w.request(5, "Echo", 0, &KeyValue{})
	if id, _ := w.readResponse(); id != 5 {
		t.Errorf("got %d, want the response of 5", id)
	}
}
