package ttrpc

import "context"

// UnaryServerInfo names the method for which a UnaryServerInterceptor runs.
type UnaryServerInfo struct {
	FullMethod string // "/package.Service/Method"
}

// UnaryClientInfo names the method for which a UnaryClientInterceptor runs.
type UnaryClientInfo struct {
	FullMethod string // "/package.Service/Method"
}

// StreamServerInfo names the method for which a StreamServerInterceptor runs.
type StreamServerInfo struct {
	FullMethod      string // "/package.Service/Method"
	StreamingClient bool
	StreamingServer bool
}

// StreamClientInfo names the method for which a StreamClientInterceptor runs. (Not in
// released versions.)
type StreamClientInfo struct {
	FullMethod      string // "/package.Service/Method"
	StreamingClient bool
	StreamingServer bool
}

// Unmarshaler decodes the request of a call into a message. It may be called repeatedly
// and by several goroutines while the handler and the interceptors around it run;
// afterwards it returns an error.
type Unmarshaler func(any) error

// Invoker sends a request and fills in the response. An interceptor calls it to continue
// the call. The returned error is from the client's side; an error from the server is in
// the Response's Status. The end of the context unblocks the Invoker. The Invoker sends the
// metadata and the timeout of the Request, which the client took from the call's context
// before the first interceptor ran.
type Invoker func(context.Context, *Request, *Response) error

// Streamer opens a stream. A StreamClientInterceptor calls it to continue. A request
// without a payload (nil) opens a stream whose first message comes from SendMsg. The
// Streamer sends the metadata and the timeout of the Request, as an Invoker does. (Not in
// released versions.)
type Streamer func(context.Context, *Request) (ClientStream, error)

// UnaryServerInterceptor runs around the handler of a unary call, on the handler's
// goroutine. It calls the Method to continue, or answers the call itself.
type UnaryServerInterceptor func(context.Context, Unmarshaler, *UnaryServerInfo, Method) (any, error)

// UnaryClientInterceptor runs around a unary call, on the caller's goroutine. The Request
// already has its metadata and payload; the interceptor's changes to it are sent.
//
// If the server answers with an error, the Invoker returns nil and the Response's Status
// has the error, until the outermost interceptor returns. An interceptor that counts
// failures checks both:
//
//	err := invoke(ctx, req, resp)
//	code := status.Code(err)
//	if err == nil {
//		code = codes.Code(resp.GetStatus().GetCode())
//	}
type UnaryClientInterceptor func(context.Context, *Request, *Response, *UnaryClientInfo, Invoker) error

// StreamServerInterceptor runs around the handler of a stream, on the handler's goroutine.
// It may call the StreamHandler with a StreamServer that wraps its own.
type StreamServerInterceptor func(context.Context, StreamServer, *StreamServerInfo, StreamHandler) (any, error)

// StreamClientInterceptor runs around the opening of a stream, on the caller's goroutine.
// The interceptor's changes to the Request are sent. It may return a ClientStream that
// wraps the Streamer's.
//
// Up to v1.2.10 this name stood for func(context.Context), which nothing used.
type StreamClientInterceptor func(context.Context, *Request, *StreamClientInfo, Streamer) (ClientStream, error)

// The functions below chain interceptors, the first one outermost. They skip nil
// interceptors, and return nil if none are left, so that calls without interceptors stay
// cheap.

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
