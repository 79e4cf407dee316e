package ttrpc

import (
	"context"
	"runtime"
)

// clientStream implements ClientStream. It is all of a stream that its caller has: when the
// collector finds that nobody has it any more, no message can be received any more, and
// the stream is given up. Otherwise the handler might wait for a window until the
// connection ends. So nothing that outlives the caller's hold points to it, and its methods
// keep it until they return.
type clientStream struct{ *clientEnd }

func newClientStream(end *clientEnd) *clientStream {
	cs := &clientStream{end}
	runtime.SetFinalizer(cs, (*clientStream).forgotten)
	return cs
}

// forgotten gives the stream up, on the collector's goroutine; it does not wait. A stream on
// which the client has sent its last, and the server answers with one response, goes on: it
// ends by itself, and the caller may have left the work to its handler.
func (cs *clientStream) forgotten() {
	if !cs.desc.StreamingServer && cs.sendError() == ErrStreamClosed {
		return
	}
	cs.client.abandon(&cs.stream, context.Canceled)
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
