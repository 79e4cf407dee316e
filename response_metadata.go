package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// This file sends the metadata of responses on a server: PROTOCOL.md, section "Response
// metadata". The client's side is in response_metadata_client.go.

// maxResponseMetadata is the largest size of a response's metadata: the bytes of keys and
// values, and metadataOverhead for each pair.
const maxResponseMetadata = defaultMaxMetadata

// A responseMetadata is the metadata that a handler has set for its response. The first use
// makes it: see serverCall.response.
type responseMetadata struct {
	// sending is held from before the header waits for room in the queue until the
	// header is queued, so that messages of other goroutines come after the header.
	sending sync.Mutex

	mu         sync.Mutex
	header     MD
	trailer    MD
	size       int    // of both, as maxResponseMetadata counts
	encoded    [2]int // bytes of the pairs of header and trailer in their frames
	headerSent bool
	sealed     bool // the handler has returned

	// final has the frames that precede the final frame. The goroutine that ends the
	// call owns them, from sealMetadata to the end of finish.
	final []*buffer
}

// headerPassed stands for the responseMetadata of a stream that had no header when it sent
// its first message. All such streams share it, and it never changes.
var headerPassed = &responseMetadata{headerSent: true}

var (
	errNoHandler  = withCode(codes.Internal, errors.New("ttrpc: the context is not that of a handler, which alone has metadata of a response"))
	errHeaderSent = withCode(codes.Internal, errors.New("ttrpc: the header of the response has been sent"))
)

// SetHeader adds md to the header of a response; ctx is the context of the handler, or
// derived from it. The header is sent before the first message of a stream, or before the
// response or error, unless SendHeader sends it earlier. Repeated calls add up; md may
// change afterwards. Clients get the header by WithResponseMetadata.
//
// SetHeader fails, and adds nothing,
//
//   - with the code Internal, if the header has been sent or ctx is not of a handler;
//   - with ErrStreamClosed, if the handler has returned;
//   - for strings that are not UTF-8;
//   - with the code ResourceExhausted, if header and trailer together exceed 1 MiB, counting
//     128 bytes more for each pair, or if one of them exceeds the longest message.
//
// Several goroutines may call it at once. A client without this extension, such as all
// releases, gets no metadata, and SetHeader still returns nil. (Not in released versions.)
func SetHeader(ctx context.Context, md MD) error { return setMetadata(ctx, metadataHeader, md) }

// SetTrailer adds md to the trailer of the response, which is sent before the response, or
// before the end of a stream. It may be called until the handler and its interceptors
// return, and otherwise works as SetHeader does. (Not in released versions.)
func SetTrailer(ctx context.Context, md MD) error { return setMetadata(ctx, metadataTrailer, md) }

// SendHeader adds md to the header, as SetHeader does, and sends the header at once; a
// second SendHeader fails. Like SendMsg, it waits for room in the connection's queue.
// Without metadata nothing is sent, but the header counts as sent. (Not in released
// versions.)
func SendHeader(ctx context.Context, md MD) error {
	call, err := handlerCall(ctx)
	if err != nil {
		return err
	}
	if err := call.addMetadata(metadataHeader, md); err != nil {
		return err
	}
	if err := call.sendHeader(ctx); err != nil {
		return err
	}
	call.sc.conn.ch.w.flush()
	return nil
}

func setMetadata(ctx context.Context, kind metadataKind, md MD) error {
	if len(md) == 0 {
		return nil
	}
	call, err := handlerCall(ctx)
	if err != nil {
		return err
	}
	return call.addMetadata(kind, md)
}

// callKey is the key of a handler's *serverCall in its context.
type callKey struct{}

func handlerCall(ctx context.Context) (*serverCall, error) {
	call, ok := ctx.Value(callKey{}).(*serverCall)
	if !ok {
		return nil, errNoHandler
	}
	return call, nil
}

// metadata returns the metadata of the response. The first call makes it.
func (call *serverCall) metadata() *responseMetadata {
	for {
		rmd := call.response.Load()
		if rmd != nil && rmd != headerPassed {
			return rmd
		}
		fresh := &responseMetadata{headerSent: rmd == headerPassed}
		if call.response.CompareAndSwap(rmd, fresh) {
			return fresh
		}
	}
}

func (call *serverCall) addMetadata(kind metadataKind, md MD) error {
	if call.stream.sendError() == ErrStreamClosed {
		return ErrStreamClosed // not others: a handler whose client is gone may have to go on
	}
	return call.metadata().add(kind, md, call.sc.conn.maxSend())
}

// add adds md to the header or the trailer, whose frame may be maxLength bytes long.
func (rmd *responseMetadata) add(kind metadataKind, md MD, maxLength int) error {
	const overhead = 16 // of a frame beside its pairs
	rmd.mu.Lock()
	defer rmd.mu.Unlock()
	switch {
	case rmd.sealed:
		return ErrStreamClosed
	case kind == metadataHeader && rmd.headerSent:
		return errHeaderSent
	}
	size, encoded, err := measureMetadata(md)
	if err != nil {
		return err
	}
	size, encoded = size+rmd.size, encoded+rmd.encoded[kind]
	if most := min(maxResponseMetadata, maxLength-overhead); size > maxResponseMetadata || encoded > maxLength-overhead {
		return withCode(codes.ResourceExhausted, fmt.Errorf("ttrpc: metadata of a response of %d bytes exceeds the maximum of %d", max(size, encoded), most))
	}
	rmd.size, rmd.encoded[kind] = size, encoded
	to := &rmd.header
	if kind == metadataTrailer {
		to = &rmd.trailer
	}
	if *to == nil {
		*to = MD{}
	}
	for key, values := range md {
		to.Append(key, values...)
	}
	return nil
}

// measureMetadata returns the size of md as limits count it, and its encoded size. It fails
// for strings that are not UTF-8.
func measureMetadata(md MD) (size, encoded int, err error) {
	for key, values := range md {
		for _, value := range values {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return 0, 0, fmt.Errorf("ttrpc: metadata %q: %w", cut(key, maxNameLength), errInvalidUTF8)
			}
			size += len(key) + len(value) + metadataOverhead
			encoded += 1 + protowire.SizeBytes(sizePair(key, value))
		}
	}
	return size, encoded, nil
}

// headerFirst sends the header, if there is one, before the first message of a stream.
func (call *serverCall) headerFirst() error {
	rmd := call.response.Load()
	if rmd == headerPassed || rmd == nil && call.response.CompareAndSwap(nil, headerPassed) {
		return nil
	}
	return call.sendHeader(&call.ctx)
}

// sendHeader queues the header, unless it was sent before. It waits for room. If ctx ends
// first, the header stays set. The caller flushes.
func (call *serverCall) sendHeader(ctx context.Context) error {
	rmd := call.metadata()
	rmd.sending.Lock()
	defer rmd.sending.Unlock()
	frame := call.takeHeader(rmd)
	if frame == nil {
		return nil
	}
	err := call.queueHeader(ctx, frame)
	rmd.mu.Lock()
	defer rmd.mu.Unlock()
	if err == nil {
		rmd.header = nil
	} else {
		rmd.headerSent = false
	}
	if err == errCallerGone {
		return nil // the handler may have to go on
	}
	return err
}

// queueHeader takes over the frame of the header and queues it, after waiting for room.
func (call *serverCall) queueHeader(ctx context.Context, frame *buffer) error {
	st := &call.stream
	err := st.reserve(ctx, len(frame.b))
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.sendErr != nil {
		if err == nil {
			st.conn.ch.w.room.give(len(frame.b))
		}
		err = st.sendErr // has the reason why there was no room
	}
	if err != nil {
		frame.release()
		return err
	}
	st.conn.ch.w.enqueue(frame)
	return nil
}

// takeHeader returns the frame of the header, which then counts as sent. It returns nil if
// there is no header to send.
func (call *serverCall) takeHeader(rmd *responseMetadata) *buffer {
	rmd.mu.Lock()
	defer rmd.mu.Unlock()
	if rmd.headerSent {
		return nil
	}
	rmd.headerSent = true
	return call.metadataFrame(metadataHeader, rmd.header)
}

// metadataFrame returns a frame of md, or nil if md is empty or the client does not know
// such frames.
func (call *serverCall) metadataFrame(kind metadataKind, md MD) *buffer {
	cn := call.sc.conn
	cn.mu.Lock()
	send := cn.ext.maySend(featureMetadata)
	cn.mu.Unlock()
	if !send || len(md) == 0 {
		return nil
	}
	frame, err := metadataFrame(call.stream.id, kind, md)
	if err != nil {
		panic("BUG: " + err.Error()) // add has checked all strings
	}
	return frame
}

// sealMetadata makes the frames that precede the final frame. The handler has returned.
func (call *serverCall) sealMetadata() {
	rmd := call.response.Load()
	if rmd == nil || rmd == headerPassed {
		return
	}
	header := call.takeHeader(rmd)
	rmd.mu.Lock()
	defer rmd.mu.Unlock()
	rmd.sealed = true
	for _, frame := range []*buffer{header, call.metadataFrame(metadataTrailer, rmd.trailer)} {
		if frame != nil {
			rmd.final = append(rmd.final, frame)
		}
	}
	rmd.header, rmd.trailer = nil, nil
}

// finalMetadata returns the frames that sealMetadata has made, and nil after takeFinal.
func (call *serverCall) finalMetadata() []*buffer {
	rmd := call.response.Load()
	if rmd == nil || rmd == headerPassed {
		return nil
	}
	return rmd.final
}

// takeFinal returns the frames that sealMetadata has made. The caller then owns them.
func (call *serverCall) takeFinal() []*buffer {
	frames := call.finalMetadata()
	if frames != nil {
		call.response.Load().final = nil
	}
	return frames
}

// finalLength returns the room that the end of the call takes in the queue: for frame, and
// for the metadata before it.
func (call *serverCall) finalLength(frame *buffer) int {
	n := len(frame.b)
	for _, buf := range call.finalMetadata() {
		n += len(buf.b)
	}
	return n
}

// queueFinal queues the last frames of metadata, and then frame.
func (call *serverCall) queueFinal(frame *buffer) {
	for _, buf := range call.takeFinal() {
		call.sc.conn.ch.w.enqueue(buf)
	}
	call.sc.conn.ch.w.enqueue(frame)
}

// dropFinal releases the frames that queueFinal would queue. The stream or the connection
// has ended.
func (call *serverCall) dropFinal(frame *buffer) {
	releaseAll(call.takeFinal())
	frame.release()
}
