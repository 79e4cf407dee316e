package ttrpc

import "context"

// UnaryServerInfo says which method a UnaryServerInterceptor runs for.
type UnaryServerInfo struct {
	FullMethod string // "/package.Service/Method"
}

// UnaryClientInfo says which method a UnaryClientInterceptor runs for.
type UnaryClientInfo struct {
	FullMethod string // "/package.Service/Method"
}

// StreamServerInfo says which method a StreamServerInterceptor runs for.
type StreamServerInfo struct {
	FullMethod      string // "/package.Service/Method"
	StreamingClient bool
	StreamingServer bool
}

// StreamClientInfo says which method a StreamClientInterceptor runs for. (Not in
// released versions.)
type StreamClientInfo struct {
	FullMethod      string // "/package.Service/Method"
	StreamingClient bool
	StreamingServer bool
}

// Unmarshaler decodes the request of a call into a message. It may be called
// more than once, and by several goroutines, while the handler and the interceptors
// around it run; after that it returns an error.
type Unmarshaler func(any) error

// Invoker sends a call and fills in its response. An interceptor gets it as
// what comes next. Its error is one of this side: what the server answers, be it an
// error, is in the Response's Status. The context ends the waiting; the metadata and
// the timeout that are sent are those of the Request, which were taken from the
// call's context before the first interceptor ran.
type Invoker func(context.Context, *Request, *Response) error

// Streamer opens a stream. A StreamClientInterceptor gets it as what comes
// next. A request without a payload (nil) opens a stream whose first message
// comes with SendMsg. Metadata and timeout are the Request's, as for Invoker. (Not in
// released versions.)
type Streamer func(context.Context, *Request) (ClientStream, error)

// UnaryServerInterceptor runs around the handler of a unary call, on the
// handler's goroutine. It calls method, or answers in its place.
type UnaryServerInterceptor func(context.Context, Unmarshaler, *UnaryServerInfo, Method) (any, error)

// UnaryClientInterceptor runs around a unary call, on the caller's goroutine.
// The request has its metadata and payload already; what the interceptor
// changes in it is sent.
//
// The error of the Invoker is nil when the server has answered with an error: that is in
// the Response's Status until the outermost interceptor has returned. One that counts
// failures looks at both:
//
//	err := invoke(ctx, req, resp)
//	code := status.Code(err)
//	if err == nil {
//		code = codes.Code(resp.GetStatus().GetCode())
//	}
type UnaryClientInterceptor func(context.Context, *Request, *Response, *UnaryClientInfo, Invoker) error

// StreamServerInterceptor runs around the handler of a stream, on the
// handler's goroutine. It may pass on a StreamServer of its own that wraps the
// one it was given.
type StreamServerInterceptor func(context.Context, StreamServer, *StreamServerInfo, StreamHandler) (any, error)

// StreamClientInterceptor runs around the opening of a stream, on the caller's
// goroutine. What it changes in the request is sent. It may return a
// ClientStream of its own that wraps the one it got.
//
// Up to v1.2.10 this name stood for func(context.Context), which nothing used.
type StreamClientInterceptor func(context.Context, *Request, *StreamClientInfo, Streamer) (ClientStream, error)

// The chains below run the first interceptor outermost. They return nil for no
// interceptors, so that the path without any stays short, and skip nil ones.

func chainUnaryServer(interceptors []UnaryServerInterceptor) UnaryServerInterceptor {
	var chain UnaryServerInterceptor
	for i := len(interceptors) - 1; i >= 0; i-- {
		outer, inner := interceptors[i], chain
		switch {
		case outer == nil:
		case inner == nil:
			chain = outer
		default:
			chain = func(ctx context.Context, um Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
				return outer(ctx, um, info, func(ctx context.Context, um func(any) error) (any, error) {
					return inner(ctx, um, info, method)
				})
			}
		}
	}
	return chain
}

func chainUnaryClient(interceptors []UnaryClientInterceptor) UnaryClientInterceptor {
	var chain UnaryClientInterceptor
	for i := len(interceptors) - 1; i >= 0; i-- {
		outer, inner := interceptors[i], chain
		switch {
		case outer == nil:
		case inner == nil:
			chain = outer
		default:
			chain = func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, next Invoker) error {
				return outer(ctx, req, resp, info, func(ctx context.Context, req *Request, resp *Response) error {
					return inner(ctx, req, resp, info, next)
				})
			}
		}
	}
	return chain
}

func chainStreamServer(interceptors []StreamServerInterceptor) StreamServerInterceptor {
	var chain StreamServerInterceptor
	for i := len(interceptors) - 1; i >= 0; i-- {
		outer, inner := interceptors[i], chain
		switch {
		case outer == nil:
		case inner == nil:
			chain = outer
		default:
			chain = func(ctx context.Context, ss StreamServer, info *StreamServerInfo, handler StreamHandler) (any, error) {
				return outer(ctx, ss, info, func(ctx context.Context, ss StreamServer) (any, error) {
					return inner(ctx, ss, info, handler)
				})
			}
		}
	}
	return chain
}

func chainStreamClient(interceptors []StreamClientInterceptor) StreamClientInterceptor {
	var chain StreamClientInterceptor
	for i := len(interceptors) - 1; i >= 0; i-- {
		outer, inner := interceptors[i], chain
		switch {
		case outer == nil:
		case inner == nil:
			chain = outer
		default:
			chain = func(ctx context.Context, req *Request, info *StreamClientInfo, next Streamer) (ClientStream, error) {
				return outer(ctx, req, info, func(ctx context.Context, req *Request) (ClientStream, error) {
					return inner(ctx, req, info, next)
				})
			}
		}
	}
	return chain
}
