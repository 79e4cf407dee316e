package ttrpc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
)

// This file receives the metadata of responses on a client.

// A ResponseMetadata holds the metadata that a handler has sent with its response, for the
// last call or stream that began with a context of WithResponseMetadata. Several goroutines
// may call its methods at once, also while the call runs. It must not be copied. (Not in
// released versions.)
type ResponseMetadata struct {
	received atomic.Pointer[receivedMetadata] // of the last call; nil before the first
}

// Header returns a copy of the metadata that the handler sent before the first message, nil
// for none. The header has arrived when a call has returned, even with an error, or when
// RecvMsg of a stream has returned for the first time.
func (mdr *ResponseMetadata) Header() MD { return mdr.received.Load().get(metadataHeader) }

// Trailer returns a copy of the metadata from the end of the response, nil for none. The
// trailer has arrived when a call has returned, or when RecvMsg of a stream has returned
// io.EOF or the server's error. A call that ends on this side, by its context, may have no
// trailer.
func (mdr *ResponseMetadata) Trailer() MD { return mdr.received.Load().get(metadataTrailer) }

// responseMetadataKey is the key of a responseReceiver in a context.
type responseMetadataKey struct{}

// A responseReceiver is the ResponseMetadata of a context, with those of the contexts
// around it: an interceptor may attach its own.
type responseReceiver struct {
	r     *ResponseMetadata
	outer *responseReceiver // nil for none
}

// WithResponseMetadata returns a context whose calls and streams store the metadata of
// their responses in r. Consecutive calls may share r, which then has the metadata of the
// last call; concurrent calls need an r each. Interceptors may attach more: each
// ResponseMetadata gets the metadata. Handlers set the metadata with SetHeader, SendHeader
// and SetTrailer; servers without this extension send none. A response with more than 1 MiB
// of metadata, counting 128 bytes more for each pair, fails its call with the code
// ResourceExhausted. (Not in released versions.)
func WithResponseMetadata(ctx context.Context, r *ResponseMetadata) context.Context {
	if r == nil {
		panic("ttrpc: nil ResponseMetadata")
	}
	outer, _ := ctx.Value(responseMetadataKey{}).(*responseReceiver)
	return context.WithValue(ctx, responseMetadataKey{}, &responseReceiver{r: r, outer: outer})
}

// A receivedMetadata is the metadata of one response. The goroutine that reads adds to it,
// perhaps even shortly after a call was given up. Therefore each call has its own.
type receivedMetadata struct {
	unwanted bool // the caller does not ask for metadata: it is only counted

	mu              sync.Mutex
	header, trailer MD
	size            int // of both, also beyond the maximum
}

// beginMetadata returns a new place for the metadata of a call that is about to begin, or
// nil if ctx does not ask for metadata.
func beginMetadata(ctx context.Context) *receivedMetadata {
	receiver, _ := ctx.Value(responseMetadataKey{}).(*responseReceiver)
	if receiver == nil {
		return nil
	}
	received := &receivedMetadata{}
	for ; receiver != nil; receiver = receiver.outer {
		receiver.r.received.Store(received)
	}
	return received
}

// get returns a copy of the header or the trailer.
func (rcv *receivedMetadata) get(kind metadataKind) MD {
	if rcv == nil {
		return nil
	}
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	if kind == metadataHeader {
		return rcv.header.Clone()
	}
	return rcv.trailer.Clone()
}

// add adds the pairs of a frame, and returns the size of the response's metadata so far.
// Beyond the maximum it counts pairs but does not keep them.
func (rcv *receivedMetadata) add(view responseMetadataView) (size int, err error) {
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	to, most := &rcv.header, maxResponseMetadata
	if view.kind == metadataTrailer {
		to = &rcv.trailer
	}
	if rcv.unwanted {
		most = 0
	}
	all := metadataCollector{metadata: *to, metadataSize: rcv.size}
	err = view.pairs(&all, most)
	*to, rcv.size = all.metadata, all.metadataSize
	return rcv.size, err
}

// takeMetadata handles a metadata frame with payload b. The client may have given up on its
// stream.
func (c *Client) takeMetadata(b []byte) error {
	if !c.uses(featureMetadata) {
		return nil
	}
	view, err := parseResponseMetadata(b)
	if err != nil {
		return errProtocol("%v", err)
	}
	received := c.placeOfMetadata(view)
	ignored := received == nil
	if ignored {
		received = &receivedMetadata{unwanted: true} // the pairs must decode all the same
	}
	size, err := received.add(view)
	if err != nil {
		return errProtocol("%v", err)
	}
	if size > maxResponseMetadata && !ignored {
		return &streamError{
			h:   header{id: view.id, typ: messageTypeData},
			err: withCode(codes.ResourceExhausted, fmt.Errorf("ttrpc: metadata of a response of %d bytes exceeds the maximum of %d", size, maxResponseMetadata)),
		}
	}
	return nil
}

// placeOfMetadata returns the place for the pairs of a frame. It returns nil for an unknown
// stream, and for a kind that a later version may have.
func (c *Client) placeOfMetadata(view responseMetadataView) *receivedMetadata {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	e := c.conn.streams[view.id]
	if e == nil || view.kind != metadataHeader && view.kind != metadataTrailer {
		return nil
	}
	s := e.place()
	if s.received == nil {
		s.received = &receivedMetadata{unwanted: true}
	}
	return s.received
}
