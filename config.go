package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxMetadata      = 1 << 20
)

type clientConfig struct {
	conn       connConfig
	codec      codec
	extensions bool
	onClose    func()
	unary      []UnaryClientInterceptor
	stream     []StreamClientInterceptor

	writeTimeout time.Duration // 0 for none
	keepalive    *Keepalive    // nil for none
}

// ClientOpts is an option of NewClient:
//
//	interceptors   WithUnaryClientInterceptor, WithChainUnaryClientInterceptor,
//	               WithStreamClientInterceptor, WithChainStreamClientInterceptor
//	limits         WithClientLimits, WithClientWriteTimeout
//	connection     WithOnClose, WithClientKeepalive, WithClientExtensions
//	messages       WithClientVTProtobuf
type ClientOpts func(c *Client)

// WithOnClose sets a callback that runs once, on its own goroutine, after the connection
// has ended for any reason. Client.UserOnCloseWait waits for the callback.
func WithOnClose(onClose func()) ClientOpts {
	return func(c *Client) { c.cfg.onClose = onClose }
}

// WithUnaryClientInterceptor sets the interceptor of unary calls. It replaces the unary
// interceptors of earlier options; nil means none.
func WithUnaryClientInterceptor(i UnaryClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.unary = []UnaryClientInterceptor{i} }
}

// WithChainUnaryClientInterceptor appends interceptors of unary calls. The first
// interceptor is the outermost. (Since v1.2.3.)
func WithChainUnaryClientInterceptor(interceptors ...UnaryClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.unary = append(c.cfg.unary, interceptors...) }
}

// WithStreamClientInterceptor sets the interceptor of streams. It replaces the stream
// interceptors of earlier options; nil means none. (Not in released versions.)
func WithStreamClientInterceptor(i StreamClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.stream = []StreamClientInterceptor{i} }
}

// WithChainStreamClientInterceptor appends interceptors of streams. The first
// interceptor is the outermost. (Not in released versions.)
func WithChainStreamClientInterceptor(interceptors ...StreamClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.stream = append(c.cfg.stream, interceptors...) }
}

// WithClientLimits sets the limits of the client's connection. It panics if a field is
// out of range: see Limits. (Not in released versions.)
func WithClientLimits(l Limits) ClientOpts {
	cfg, err := l.config(defaultConnConfig)
	if err != nil {
		panic(err)
	}
	return func(c *Client) { c.cfg.conn = cfg }
}

// WithClientWriteTimeout ends the connection if bytes are waiting to be written and the
// server accepts none of them for d: see WithServerWriteTimeout. Calls and streams then
// return ErrClosed. It panics if d is not positive. By default there is no limit. (Not in
// released versions.)
func WithClientWriteTimeout(d time.Duration) ClientOpts {
	if d <= 0 {
		panic(fmt.Sprintf("ttrpc: write timeout %v is not positive", d))
	}
	return func(c *Client) { c.cfg.writeTimeout = d }
}

// WithClientVTProtobuf makes the client encode and decode messages with the methods that
// vtprotobuf generates, if the messages have them: see WithServerVTProtobuf. (Not in
// released versions.)
func WithClientVTProtobuf() ClientOpts {
	return func(c *Client) { c.cfg.codec.vt = true }
}

// Limits bounds the memory of one connection: the length of a message, the buffer of a
// stream and the write queue. A zero field stands for its default. Servers with untrusted
// peers should use WithServerUntrustedPeers, alone or with these limits. The section on
// limits in the package documentation gives the resulting amounts of memory. (Not in
// released versions.)
type Limits struct {
	// MaxMessageLength is the length of the longest message that is sent or accepted,
	// in bytes including its envelope: 4 MiB by default, at most 16 MiB less one byte.
	// With extensions a sender keeps to the lower limit of both sides; without them both
	// sides need the same limit. A longer message is refused with
	// *OversizedMessageErr by the sender, and with ResourceExhausted by the receiver;
	// the connection goes on.
	MaxMessageLength int

	// MaxPendingWrite is the size of the write queue in bytes: 1 MiB by default. Senders
	// wait while the queue is full. A queue below the limit accepts one more message of
	// any length, so that every message fits.
	MaxPendingWrite int

	// MaxStreamBuffer is the size of each stream's receive buffer in bytes: 4 MiB by
	// default. A buffer below the limit accepts one more message of any length, and the
	// peer's last message always fits. With extensions the peer may send half of it ahead
	// of the receiver, and then waits. With other peers the connection stops reading when
	// a buffer is full, for a second at most; then the stream ends with ErrStreamFull.
	MaxStreamBuffer int
}

// config returns the limits; zero fields keep the values of cfg.
func (lim Limits) config(cfg connConfig) (connConfig, error) {
	if lim.MaxMessageLength < 0 || lim.MaxMessageLength > maxMessageLengthLimit {
		return cfg, fmt.Errorf("ttrpc: maximum message length %d is not between 1 and %d", lim.MaxMessageLength, maxMessageLengthLimit)
	}
	if lim.MaxPendingWrite < 0 || lim.MaxStreamBuffer < 0 {
		return cfg, errors.New("ttrpc: a limit is negative")
	}
	setLimit(&cfg.maxLength, lim.MaxMessageLength)
	setLimit(&cfg.maxQueued, lim.MaxPendingWrite)
	setLimit(&cfg.maxInbox, lim.MaxStreamBuffer)
	return cfg, nil
}

func setLimit(limit *int, value int) {
	if value != 0 {
		*limit = value
	}
}

type serverConfig struct {
	conn             connConfig
	connDefaults     connConfig // of the fields that WithServerLimits leaves out
	codec            codec
	extensions       bool
	cancellation     CancelMode
	handshaker       Handshaker // nil for none
	handshakeTimeout time.Duration
	writeTimeout     time.Duration // 0 for none
	keepalive        *Keepalive    // nil for none
	maxCalls         int           // per connection; 0 for no limit
	maxHandlers      int           // of the server; 0 for no limit
	maxConns         connLimits
	maxMetadata      int
	goroutinePerCall bool
	unary            []UnaryServerInterceptor
	unarySet         bool
	stream           []StreamServerInterceptor
	streamSet        bool
	onPanic          PanicHandler
	logger           Logger

	// busyInterval is defaultBusyInterval except in tests.
	busyInterval time.Duration
}

// ServerOpt is an option of NewServer:
//
//	admission      WithServerHandshaker, WithServerHandshakeTimeout
//	interceptors   WithUnaryServerInterceptor, WithChainUnaryServerInterceptor,
//	               WithStreamServerInterceptor, WithChainStreamServerInterceptor
//	limits         WithServerUntrustedPeers, which sets those of untrusted peers;
//	               WithServerLimits, WithServerMaxCalls, WithServerMaxHandlers,
//	               WithServerMaxConns, WithServerMaxMetadata, WithServerWriteTimeout
//	connections    WithServerKeepalive, WithServerExtensions
//	handlers       WithServerCancellation, WithServerGoroutinePerCall
//	failures       WithServerPanicHandler, WithServerLogger
//	messages       WithServerVTProtobuf
type ServerOpt func(*serverConfig) error

// WithServerHandshaker sets the handshaker, which admits or refuses each connection
// before it is served. Nil means none. NewServer fails if there are two.
func WithServerHandshaker(handshaker Handshaker) ServerOpt {
	return func(c *serverConfig) error {
		if c.handshaker != nil {
			return errors.New("ttrpc: only one handshaker allowed per server")
		}
		c.handshaker = handshaker
		return nil
	}
}

// WithServerHandshakeTimeout limits the duration of a handshake: 10 seconds by default.
// At the limit the connection is refused, even if the handshaker is still running: see
// Handshaker. NewServer fails if d is not positive. (Not in released versions.)
func WithServerHandshakeTimeout(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		if d <= 0 {
			return fmt.Errorf("ttrpc: handshake timeout %v is not positive", d)
		}
		c.handshakeTimeout = d
		return nil
	}
}

// WithServerWriteTimeout ends a connection if bytes (responses, stream messages) are
// waiting to be written and the peer accepts none of them for d. On Unix and TCP sockets
// and on TLS, part of a message counts as progress; on other connections a Write, which
// may be as long as the longest message, has to return. Running calls end as they do
// whenever their connection ends, and the log gets a line. By default there is no limit,
// because a stopped peer may resume later. NewServer fails if d is not positive. (Not in
// released versions.)
func WithServerWriteTimeout(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		if d <= 0 {
			return fmt.Errorf("ttrpc: write timeout %v is not positive", d)
		}
		c.writeTimeout = d
		return nil
	}
}

// WithUnaryServerInterceptor adds the interceptor of unary calls; nil means none.
// NewServer fails if there are two: WithChainUnaryServerInterceptor takes several.
func WithUnaryServerInterceptor(i UnaryServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		if c.unarySet {
			return errors.New("ttrpc: only one unchained interceptor allowed per server")
		}
		c.unarySet = i != nil
		c.unary = append(c.unary, i)
		return nil
	}
}

// WithChainUnaryServerInterceptor appends interceptors of unary calls. The first
// interceptor is the outermost. (Since v1.2.3.)
func WithChainUnaryServerInterceptor(interceptors ...UnaryServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		c.unary = append(c.unary, interceptors...)
		c.unarySet = c.unarySet || len(interceptors) > 0
		return nil
	}
}

// WithStreamServerInterceptor adds the interceptor of streams; nil means none. NewServer
// fails if there are two: WithChainStreamServerInterceptor takes several. (Not in
// released versions.)
func WithStreamServerInterceptor(i StreamServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		if c.streamSet {
			return errors.New("ttrpc: only one unchained stream interceptor allowed per server")
		}
		c.streamSet = i != nil
		c.stream = append(c.stream, i)
		return nil
	}
}

// WithChainStreamServerInterceptor appends interceptors of streams. The first
// interceptor is the outermost. (Not in released versions.)
func WithChainStreamServerInterceptor(interceptors ...StreamServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		c.stream = append(c.stream, interceptors...)
		c.streamSet = c.streamSet || len(interceptors) > 0
		return nil
	}
}

// WithServerLimits sets the limits of each connection. After WithServerUntrustedPeers, a
// zero field stands for the limit of that option. NewServer fails if a field is out of
// range: see Limits. (Not in released versions.)
func WithServerLimits(l Limits) ServerOpt {
	return func(c *serverConfig) (err error) {
		c.conn, err = l.config(c.connDefaults)
		return err
	}
}

// WithServerMaxCalls limits the number of calls and streams that run at once on each
// connection. The server answers any further call with ResourceExhausted immediately. A
// call counts until its handler has returned and its response is queued, even if its
// stream ended earlier. By default there is no limit. NewServer fails if n is not
// positive. (Not in released versions.)
func WithServerMaxCalls(n int) ServerOpt {
	return func(c *serverConfig) error {
		if n < 1 {
			return fmt.Errorf("ttrpc: maximum of calls %d is not positive", n)
		}
		c.maxCalls = n
		return nil
	}
}

// WithServerMaxMetadata limits the metadata of a call to n bytes: 1 MiB by default. Keys
// and values count with their length, and each entry with 128 bytes more, its cost in
// memory. The server answers a call with more metadata with ResourceExhausted. NewServer
// fails if n is negative. (Not in released versions.)
func WithServerMaxMetadata(n int) ServerOpt {
	return func(c *serverConfig) error {
		if n < 0 {
			return fmt.Errorf("ttrpc: maximum of metadata %d is negative", n)
		}
		c.maxMetadata = n
		return nil
	}
}

// WithServerGoroutinePerCall runs each handler on its own goroutine, which has run no other
// handler and ends with the call. By default, handlers that are usually quick run on the
// goroutine that reads their connection, which goes on to run later calls. Handlers that
// change their thread or goroutine permanently need this option. If a handler locks its
// thread (runtime.LockOSThread) and never unlocks it, because it has entered a namespace
// (setns, unshare) or changed its credentials, the thread then ends with the call; pprof
// labels that a handler sets apply to its call alone. The option costs a quick call a few
// microseconds. (Not in released versions, which always use a goroutine per call.)
func WithServerGoroutinePerCall() ServerOpt {
	return func(c *serverConfig) error {
		c.goroutinePerCall = true
		return nil
	}
}

// WithServerVTProtobuf makes the server encode and decode messages with the methods that
// vtprotobuf generates, if the messages have them. A call with an 8 KiB message of many
// fields then takes a quarter less time; for a message of 128 bytes there is no notable
// difference. The peer sees no difference, except that those methods
//
//   - send and accept strings that are not UTF-8, which are otherwise errors, at the
//     peer as well;
//   - omit a oneof that is set to a nil message, which is otherwise sent as an empty
//     message.
//
// Message types with extensions, groups or recursion at any level are still encoded and
// decoded by protobuf-go: vtprotobuf's methods lose extensions and refuse groups, and deep
// recursion would end the process. (Not in released versions.)
func WithServerVTProtobuf() ServerOpt {
	return func(c *serverConfig) error {
		c.codec.vt = true
		return nil
	}
}

// PanicHandler turns a panic in a handler, or in an interceptor around it, into an error
// for the client. It runs on the handler's goroutine with the recovered value, nil for
// runtime.Goexit, and with the stack of the panic. A nil error stands for a status
// Internal without further detail. A PanicHandler may itself panic to end the process;
// the client may get an answer first. The value may contain text from the client, of any
// length and with any characters. (Not in released versions.)
type PanicHandler func(ctx context.Context, fullMethod string, value any, stack []byte) error

// WithServerPanicHandler sets the handler of panics. By default the server logs a panic
// with its stack, answers Internal, and goes on. (Not in released versions.)
func WithServerPanicHandler(h PanicHandler) ServerOpt {
	return func(c *serverConfig) error {
		c.onPanic = h
		return nil
	}
}

// Logger receives events for the operator, one call of Printf for each. *log.Logger
// implements it. An event is one line, except that the stack of a panic follows in the
// same call on indented lines. An event has at most 16 KiB of printable characters: line
// breaks and unprintable characters from a peer are escaped, and names chosen by a peer
// are quoted. Several goroutines may call Printf at once. (Not in released versions.)
type Logger interface {
	Printf(format string, args ...any)
}

// WithServerLogger makes the server log to l instead of the standard logger of package
// log. There are four kinds of events: refused connections, connections that failed or
// broke the protocol, panics, and failures to accept. The server logs at most ten events
// of each kind a second, so that a flood of one kind hides no other, and within a second
// the number of omitted events. (Not in released versions.)
func WithServerLogger(l Logger) ServerOpt {
	return func(c *serverConfig) error {
		c.logger = l
		return nil
	}
}
