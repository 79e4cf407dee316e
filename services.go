package ttrpc

import (
	"context"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// Method handles a unary call. It returns the response message, or an error that the client
// receives as a status: see Server.
//
// unmarshal decodes the request into a message, which then belongs to the method. The
// method may call unmarshal until it returns. After the end of the connection unmarshal
// returns ErrClosed, or an error that matches both ErrClosed and ErrProtocol if the client
// broke the protocol; a request of up to 64 KiB can still be decoded for a second.
//
// Calls that the method makes with ctx pass on the metadata of the incoming call;
// WithMetadata(ctx, nil) prevents that.
//
// ctx ends when the method returns, when the connection ends, at the deadline that the
// client sent, and with the context given to Serve. The goroutine may run other methods
// before and after: a method that locks or sets something on it (runtime.LockOSThread,
// pprof labels) must undo that before it returns, unless the server has
// WithServerGoroutinePerCall.
type Method func(ctx context.Context, unmarshal func(any) error) (any, error)

// StreamHandler handles a stream, which ends when the handler returns. If the server
// streams, the handler sends with StreamServer.SendMsg and returns a last message or nil;
// otherwise it returns the one response. An error becomes a status, as for Method.
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

// ServiceDesc describes a service for registration: its unary methods and its streams, by
// their names on the wire.
type ServiceDesc struct {
	Methods map[string]Method
	Streams map[string]Stream
}

// StreamServer is the handler's end of a stream. Several goroutines may call its methods
// at once, until the handler returns.
type StreamServer interface {
	// SendMsg sends a message; nil stands for an empty message. It returns once the
	// message is queued. If the client does not keep up, SendMsg waits for room for as
	// long as the call goes on. A message over the limit is refused with
	// *OversizedMessageErr; the stream goes on. After the end of the stream, the
	// connection or the handler's context SendMsg returns the corresponding error.
	SendMsg(m any) error

	// RecvMsg waits for the next message and decodes it into m. It returns
	//
	//   - io.EOF after the client has closed its side;
	//   - ErrClosed after the end of the connection (messages that arrived earlier can
	//     be received for a second after the last call of RecvMsg);
	//   - an error that matches ErrStreamFull, *OversizedMessageErr or ErrProtocol after
	//     the stream failed;
	//   - the context's error if the handler's context ended first;
	//   - a status InvalidArgument for a message that cannot be decoded into m; later
	//     messages can still be received.
	RecvMsg(m any) error
}

// registry holds the services of a server and their methods. It never changes: with
// returns a new one, so that calls look methods up without a lock.
type registry map[string]map[string]*method

// method is a registered method of either kind.
type method struct {
	fullName string     // "/service/method"
	unary    Method     // nil for a stream
	stream   Stream     // for a stream
	cost     methodCost // the handler's running time
	inline   backoff    // for running the handler on the read loop; see newMethod
}

// refuse returns a status for a request whose flags fit another kind of method, since its
// caller could not use any answer, and nil if the flags fit. A request with "remote closed"
// carries a single message, which fits every kind.
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

// newMethod prepares m and returns it. The backoff of inline begins with a failure: the
// handler has yet to prove that it is quick.
func newMethod(m *method) *method {
	m.inline.failed()
	return m
}

// with returns the registry with one more service. It panics on mistakes of the program: a
// second service of the same name, a method without a handler, a name for both a unary
// method and a stream.
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

// describe returns a copy of the registry for users.
func (reg registry) describe() map[string]*ServiceDesc {
	services := make(map[string]*ServiceDesc, len(reg))
	for name, methods := range reg {
		desc := &ServiceDesc{Methods: make(map[string]Method), Streams: make(map[string]Stream)}
		for m, me := range methods {
			if me.unary != nil {
				desc.Methods[m] = me.unary
			} else {
				desc.Streams[m] = me.stream
			}
		}
		services[name] = desc
	}
	return services
}

// find returns the method with these names, or nil, and reports whether the service exists.
func (reg registry) find(service, name []byte) (m *method, serviceExists bool) {
	methods, ok := reg[string(service)]
	return methods[string(name)], ok
}

func fullMethod(service, name string) string { return "/" + service + "/" + name }
