package ttrpc

import (
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// A status that just fits keeps its details and its whole message. With one byte more it
// loses the details. A message that is too long by itself also loses its end.
func TestStatusThatJustFits(t *testing.T) {
	const room = 1000 // for a status
	status := func(length int, details ...*anypb.Any) *spb.Status {
		st := &spb.Status{Code: int32(codes.Aborted), Details: details}
		for n := length; proto.Size(st) != length; n-- {
			st.Message = strings.Repeat("m", n)
		}
		return st
	}
	detail := &anypb.Any{TypeUrl: "type", Value: []byte("value")}
	for _, test := range []struct {
		name    string
		st      *spb.Status
		details int
		message int // its length; -1 for all
	}{
		{"details that just fit", status(room, detail), 1, -1},
		{"details of a byte too many", status(room+1, detail), 0, -1},
		{"a message that just fits", status(room), 0, -1},
		{"a message of a byte too many", &spb.Status{Code: 10, Message: strings.Repeat("m", room+1)}, 0, room},
	} {
		frame := responseFrame(1, test.st, room+32)
		r, err := parseResponse(frame.b[headerLength:], 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if test.message < 0 {
			test.message = len(test.st.Message)
		}
		if got := r.status; len(got.GetDetails()) != test.details || len(got.GetMessage()) != test.message || got.GetCode() != test.st.Code {
			t.Errorf("%s: code %d, %d details, a message of %d bytes, want %d and %d",
				test.name, got.GetCode(), len(got.GetDetails()), len(got.GetMessage()), test.details, test.message)
		}
		if len(frame.b)-headerLength > room+32 {
			t.Errorf("%s: the response is %d bytes long", test.name, len(frame.b)-headerLength)
		}
		frame.release()
	}
}

// The server always sends a status with a success: the client of June 2019 wants
// to see one.
func TestSuccessHasStatus(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	w.request(1, "Echo", 0, &KeyValue{Value: "v"})
	w.request(3, "Join", flagRemoteClosed|flagNoData, nil)
	for i := 0; i < 2; i++ {
		f := w.read()
		if f.typ != messageTypeResponse || len(f.body) < 2 || f.body[0] != 1<<3|2 || f.body[1] != 0 {
			t.Errorf("%v: %q does not begin with an empty status", f.header, f.body)
		}
	}
}
