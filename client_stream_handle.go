package ttrpc

import (
	"bytes"
	"context"
	"runtime"
	"time"
)

// clientStream implements ClientStream. It is the only part of a stream that the program
// refers to. When the garbage collector finds that the program has dropped it, no receiver
// can take messages any more, and the stream is given up; otherwise the handler might wait
// for a window until the connection ends. Therefore nothing that outlives the program's
// reference points to a clientStream, and its methods keep it alive until they return.
type clientStream struct{ *clientEnd }

func newClientStream(end *clientEnd) *clientStream {
	cs := &clientStream{end}
	if !inBubble() {
		runtime.SetFinalizer(cs, (*clientStream).forgotten)
	}
	return cs
}

// inBubble reports whether the caller's goroutine is in a bubble of testing/synctest. The
// channels of a bubble must not be used from outside, where finalizers run: that ends the
// process. Only the header of a stack tells. As the clock of a bubble begins in 2000, other
// programs pay for a look at the clock alone.
func inBubble() bool {
	if time.Now().Year() >= 2020 {
		return false
	}
	stack := make([]byte, 128)
	header, _, _ := bytes.Cut(stack[:runtime.Stack(stack, false)], []byte("\n"))
	return bytes.Contains(header, []byte(", synctest "))
}

// forgotten gives the stream up. It runs on the collector's goroutine for finalizers and
// does not wait. If the client has sent its last message and the server answers with one
// response, the stream goes on: it ends by itself, and the program may have left the work
// to the handler.
func (cs *clientStream) forgotten() {
	if !cs.desc.StreamingServer && cs.sendError() == ErrStreamClosed {
		return
	}
	cs.abandon(context.Canceled)
}

func (cs *clientStream) SendMsg(m any) error {
	err := cs.sendMsg(m)
	runtime.KeepAlive(cs)
	return err
}

func (cs *clientStream) CloseSend() error {
	err := cs.closeSend()
	runtime.KeepAlive(cs)
	return err
}

func (cs *clientStream) RecvMsg(m any) error {
	err := cs.recvMsg(m)
	runtime.KeepAlive(cs)
	return err
}
