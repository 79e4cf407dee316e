package ttrpc

import (
	"context"
	"runtime"
)

// clientStream implements ClientStream. It is the only part of a stream that the program
// refers to. When the garbage collector finds that the program has dropped it, no receiver
// can take messages any more, and the stream is given up; otherwise the handler might wait
// for a window until the connection ends. Therefore nothing that outlives the program's
// reference points to a clientStream, and its methods keep it alive until they return.
type clientStream struct{ *clientEnd }

func newClientStream(end *clientEnd) *clientStream {
	cs := &clientStream{end}
	runtime.SetFinalizer(cs, (*clientStream).forgotten)
	return cs
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
