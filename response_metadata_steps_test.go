//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"strings"
	"testing"
)

// metadataCall starts a stream and returns the server's state of its call.
func metadataCall(t *testing.T) (*heldCall, *serverCall, *peer) {
	t.Helper()
	st, p := serverPeer(t)
	p.extend()
	held := st.start(p, request(3, "HoldStream", flagRemoteOpen|flagNoData, nil))
	call, err := handlerCall(held.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return held, call, p
}

// The longest frame of a header has just the length that the client accepts.
func TestMetadataOfLongestFrame(t *testing.T) {
	md := MD{"k": {strings.Repeat("v", 100)}}
	_, encoded, err := measureMetadata(md)
	if err != nil {
		t.Fatal(err)
	}
	if err := new(responseMetadata).add(metadataHeader, md, encoded+16); err != nil {
		t.Errorf("the longest frame: %v", err)
	}
	if err := new(responseMetadata).add(metadataHeader, md, encoded+15); err == nil {
		t.Error("a frame that is too long: no error")
	}
}

// A stream without a header makes no responseMetadata when it sends messages.
func TestNoHeaderCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, call, _ := metadataCall(t)
		for i := 0; i < 2; i++ {
			if err := call.headerFirst(); err != nil {
				t.Error(err)
			}
			if rmd := call.response.Load(); rmd != headerPassed {
				t.Errorf("message %d: got %p, want headerPassed", i, rmd)
			}
		}
	})
}

// A header that is refused because the stream has ended leaves the room as it was.
func TestRefusedHeaderTakesNoRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, call, _ := metadataCall(t)
		setSendErr := func(err error) {
			call.stream.mu.Lock()
			defer call.stream.mu.Unlock()
			call.stream.sendErr = err
		}
		room := &call.sc.conn.ch.w.room
		reserved := func() int {
			room.mu.Lock()
			defer room.mu.Unlock()
			return room.reserved
		}
		setSendErr(io.EOF)
		defer setSendErr(nil)
		for _, taken := range []int{0, fullQueue} {
			room.overdraw(taken)
			before := reserved()
			frame, err := metadataFrame(3, metadataHeader, MD{"h": {"1"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := call.queueHeader(context.Background(), frame); err != io.EOF {
				t.Errorf("with %d bytes taken: got %v, want EOF", taken, err)
			}
			if after := reserved(); after != before {
				t.Errorf("with %d bytes taken: %d bytes are reserved, %d before", taken, after, before)
			}
			room.give(taken)
		}
	})
}

// A header that is sent is not kept, and neither is the rest once it is encoded. After
// that nothing can be set.
func TestSealedMetadata(t *testing.T) {
	bubble(t, func(t *testing.T) {
		held, call, p := metadataCall(t)
		if err := SendHeader(held.ctx, MD{"h": {"1"}}); err != nil {
			t.Fatal(err)
		}
		p.want("the header", metadataOf(3, metadataHeader, MD{"h": {"1"}}))
		rmd := call.response.Load()
		if rmd.header != nil {
			t.Errorf("a header that is sent is kept: %v", rmd.header)
		}
		if err := SetTrailer(held.ctx, MD{"t": {"2"}}); err != nil {
			t.Fatal(err)
		}
		call.sealMetadata()
		if !rmd.mu.TryLock() {
			t.Fatal("sealMetadata has kept the lock")
		}
		if rmd.header != nil || rmd.trailer != nil {
			t.Errorf("encoded metadata is kept: %v, %v", rmd.header, rmd.trailer)
		}
		rmd.mu.Unlock()
		if err := SetTrailer(held.ctx, MD{"t": {"3"}}); err != ErrStreamClosed {
			t.Errorf("a late trailer: got %v, want ErrStreamClosed", err)
		}
		held.returns(nil, nil)
		p.want("the end", metadataOf(3, metadataTrailer, MD{"t": {"2"}}), data(3, flagRemoteClosed|flagNoData, nil))
	})
}

// The end of a call takes room for its metadata, too, and its frames have one owner.
func TestFinalMetadata(t *testing.T) {
	last, trailer := &buffer{b: make([]byte, 10)}, &buffer{b: make([]byte, 7)}
	call := new(serverCall)
	if n := call.finalLength(last); n != 10 {
		t.Errorf("without metadata: got %d bytes, want 10", n)
	}
	call.response.Store(&responseMetadata{final: []*buffer{trailer}})
	if n := call.finalLength(last); n != 17 {
		t.Errorf("with a trailer: got %d bytes, want 17", n)
	}
	if frames := call.takeFinal(); len(frames) != 1 || frames[0] != trailer {
		t.Errorf("got %v, want the trailer", frames)
	}
	if frames := call.takeFinal(); frames != nil {
		t.Errorf("a second time: got %v, want nothing", frames)
	}
}
