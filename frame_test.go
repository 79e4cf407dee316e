package ttrpc

import (
	"fmt"
	"testing"
)

// Frames and states have names, for logs and errors.
func TestStrings(t *testing.T) {
	for _, test := range []struct {
		v    fmt.Stringer
		want string
	}{
		{heldByLoop, "read loop"}, {heldByLeader, "leader"}, {heldByNobody, "nobody"},
		{moreFrames, "more frames"}, {lastFrame, "last frame"},
		{serverOpen, "open"}, {serverDraining, "draining"}, {serverClosed, "closed"},
		{messageTypeRequest, "request"}, {messageTypeResponse, "response"}, {messageTypeData, "data"}, {messageType(9), "type(9)"},
		{header{length: 7, id: 5, typ: messageTypeData, flags: flagRemoteClosed}, "data frame on stream 5 (flags 0x1, 7 bytes)"},
		{&callContext{}, "ttrpc.callContext"},
	} {
		if got := test.v.String(); got != test.want {
			t.Errorf("%T: got %q, want %q", test.v, got, test.want)
		}
	}
	err := &streamError{h: header{id: 5}, err: ErrStreamFull}
	if got, want := err.Error(), "stream 5: "+ErrStreamFull.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
