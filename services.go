package ttrpc

import (
	"context"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// Method handles a unary call. unmarshal decodes the request into a message;
// it may be called until the method returns. A request that has been decoded is not
// kept after the end of the connection, and another one of up to 64 KiB for a second: then unmarshal
// returns ErrClosed (with ErrProtocol if that is the reason). A message that has been
// decoded is the method's own. The result is
// a message, and an error in its place is what the client gets, as a status: see Server.
//
// A call that the method makes with ctx passes on the metadata that came with this one:
// WithMetadata(ctx, nil) keeps it here.
//
// ctx ends when the method returns, when the connection ends and at the
// deadline that the client sent. The goroutine may have run other methods and
// may run more: what the method locks or sets on it (runtime.LockOSThread,
// pprof labels) it undoes before it returns, unless the server has
// WithServerGoroutinePerCall.
type Method func(ctx context.Context, unmarshal func(any) error) (any, error)

// StreamHandler handles a stream. For one whose server streams, it sends with
// StreamServer.SendMsg and returns a nil message; otherwise its result is the
// one response. The stream is over when it returns.
type StreamHandler func(context.Context, StreamServer) (any, error)

// Stream describes a streaming method for registration.
type Stream struct {
	Handler         StreamHandler
	StreamingClient bool // the client sends any number of messages
	StreamingServer bool // the server sends any number of messages
}

// StreamDesc describes a streaming method for Client.NewStream.
type StreamDesc struct {
	StreamingClient bool // the client sends any number of messages
	StreamingServer bool // the server sends any number of messages
}

// ServiceDesc is what a service consists of: its methods by the names that go
// over the wire.
type ServiceDesc struct {
	Methods map[string]Method
	Streams map[string]Stream
}

// StreamServer is a handler's end of a stream. Its methods may be called from
// several goroutines at once, until the handler returns.
type StreamServer interface {
	// SendMsg sends a message; nil is one of no bytes. It returns once it is
	// queued, after waiting for room if the client does not keep up. A message over the
	// limit is refused with *OversizedMessageErr and the stream goes on. When
	// the stream, the connection or the handler's context has ended it
	// returns an error of one of these.
	SendMsg(m any) error

	// RecvMsg decodes the next message into m. It returns io.EOF when the
	// client has closed its side, ErrClosed when the connection ended (messages
	// from before that are there for a second after the last call of RecvMsg),
	// ErrStreamFull, *OversizedMessageErr or an ErrProtocol when the stream
	// failed, and the context's error when the handler's context ended
	// before. What cannot be decoded into m is a status InvalidArgument, and
	// an error of that message alone.
	RecvMsg(m any) error
}

// registry is a server's services and their methods. It is never changed: with
// returns another one, so that calls look it up without a lock.
type registry map[string]map[string]*method

// method is a registered method of either kind.
type method struct {
	fullName string     // "/service/method"
	unary    Method     // nil for a stream
	stream   Stream     // for a stream
	cost     methodCost // of running the handler
	inline   backoff    // of running it on the read loop; begins with a failure
}

// refuse returns a status for a request whose flags say that its caller takes the method
// for one of another kind: no answer would fit. A request with "remote closed" carries
// a single message, which fits each kind.
func (me *method) refuse(fl flags) *spb.Status {
	switch {
	case me.unary != nil && fl.has(flagRemoteOpen):
		return newStatus(codes.Unimplemented, "%s is unary; call it with Call", me.fullName)
	case me.unary == nil && !fl.has(flagRemoteClosed) && !fl.has(flagRemoteOpen):
		return newStatus(codes.Unimplemented, "%s is a stream; call it with NewStream", me.fullName)
	case me.unary == nil && !me.stream.StreamingClient && fl.has(flagRemoteOpen):
		return newStatus(codes.Unimplemented, "%s takes one message; call it with NewStream without StreamingClient", me.fullName)
	}
	return nil
}

// newMethod returns m, whose handler has yet to prove that it is quick.
func newMethod(m *method) *method {
	m.inline.failed()
	return m
}

// with returns the registry with one more service. A second one of that name is
// a mistake of the program, and so is a method without a handler, or one that is both
// unary and a stream.
func (reg registry) with(name string, desc *ServiceDesc) registry {
	if _, ok := reg[name]; ok {
		panic(fmt.Errorf("ttrpc: duplicate service %s registered", name))
	}
	if desc == nil {
		panic(fmt.Errorf("ttrpc: nil description of service %s registered", name))
	}
	methods := make(map[string]*method, len(desc.Methods)+len(desc.Streams))
	for m, handler := range desc.Methods {
		if handler == nil {
			panic(fmt.Errorf("ttrpc: nil implementation of %s registered", fullMethod(name, m)))
		}
		methods[m] = newMethod(&method{fullName: fullMethod(name, m), unary: handler})
	}
	for m, stream := range desc.Streams {
		if stream.Handler == nil {
			panic(fmt.Errorf("ttrpc: nil implementation of %s registered", fullMethod(name, m)))
		}
		if _, ok := methods[m]; ok {
			panic(fmt.Errorf("ttrpc: %s is registered as a method and as a stream", fullMethod(name, m)))
		}
		methods[m] = newMethod(&method{fullName: fullMethod(name, m), stream: stream})
	}
	more := make(registry, len(reg)+1)
	for k, v := range reg {
		more[k] = v
	}
	more[name] = methods
	return more
}

// find returns the method with these names; nil, and whether the service
// exists, when there is none.
func (reg registry) find(service, name []byte) (m *method, serviceExists bool) {
	methods, ok := reg[string(service)]
	return methods[string(name)], ok
}

func fullMethod(service, name string) string { return "/" + service + "/" + name }
