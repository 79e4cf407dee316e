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

// ClientOpts configures a client.
type ClientOpts func(c *Client)

// WithOnClose has onClose called once, on a goroutine of its own, when the
// connection has ended for any reason.
func WithOnClose(onClose func()) ClientOpts {
	return func(c *Client) { c.cfg.onClose = onClose }
}

// WithUnaryClientInterceptor sets the interceptor of unary calls, in place of
// any that was set before. Nil is none.
func WithUnaryClientInterceptor(i UnaryClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.unary = []UnaryClientInterceptor{i} }
}

// WithChainUnaryClientInterceptor adds interceptors of unary calls. The first
// is the outermost. (Since v1.2.3.)
func WithChainUnaryClientInterceptor(interceptors ...UnaryClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.unary = append(c.cfg.unary, interceptors...) }
}

// WithStreamClientInterceptor sets the interceptor of streams, in place of any
// that was set before. Nil is none. (Not in released versions.)
func WithStreamClientInterceptor(i StreamClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.stream = []StreamClientInterceptor{i} }
}

// WithChainStreamClientInterceptor adds interceptors of streams. The first is
// the outermost. (Not in released versions.)
func WithChainStreamClientInterceptor(interceptors ...StreamClientInterceptor) ClientOpts {
	return func(c *Client) { c.cfg.stream = append(c.cfg.stream, interceptors...) }
}

// WithClientLimits sets the limits of the client's connection. It panics when
// one is out of range: see Limits. (Not in released versions.)
func WithClientLimits(l Limits) ClientOpts {
	cfg, err := l.config(defaultConnConfig)
	if err != nil {
		panic(err)
	}
	return func(c *Client) { c.cfg.conn = cfg }
}

// WithClientWriteTimeout ends the connection when the server takes nothing, for that
// time, of the bytes that wait to be written to it: see WithServerWriteTimeout. Calls and
// streams then return ErrClosed. It panics when d is not positive. (Not in released
// versions.)
func WithClientWriteTimeout(d time.Duration) ClientOpts {
	if d <= 0 {
		panic(fmt.Sprintf("ttrpc: write timeout %v is not positive", d))
	}
	return func(c *Client) { c.cfg.writeTimeout = d }
}

// WithClientVTProtobuf has the client encode and decode messages by the methods that
// vtprotobuf generates, where they exist: see WithServerVTProtobuf. (Not in released
// versions.)
func WithClientVTProtobuf() ClientOpts {
	return func(c *Client) { c.cfg.codec.vt = true }
}

// Limits bound what one connection may cost. A zero field stands for its
// default. They are limits of a message, a stream and the queue: a server whose peers
// are not trusted has WithServerUntrustedPeers beside or instead of them. The section on
// limits in the package documentation says what they come to. (Not in released versions.)
type Limits struct {
	// MaxMessageLength is the longest message that is sent or accepted, in
	// bytes and with its envelope: 4 MiB by default, at most 16 MiB less
	// one byte. Both sides need the same; a sender that takes part in extensions, as its
	// peer, keeps to the lower one. What is longer is refused with
	// *OversizedMessageErr by the sender, and with ResourceExhausted by the
	// receiver, which then goes on.
	MaxMessageLength int

	// MaxPendingWrite is how many bytes may wait to be written before
	// senders do: 1 MiB by default. One message more is let in, of any
	// length, so that each fits.
	MaxPendingWrite int

	// MaxStreamBuffer is how many bytes may wait in each stream to be
	// received: 4 MiB by default. One message more is let in, and so is the
	// peer's last. When it is full the connection stops reading, for a second
	// at most; then the stream ends with ErrStreamFull.
	MaxStreamBuffer int
}

// config returns the limits, with those of cfg for zero fields.
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

	// busyInterval is defaultBusyInterval but in tests.
	busyInterval time.Duration
}

// ServerOpt configures a server.
type ServerOpt func(*serverConfig) error

// WithServerHandshaker has the handshaker admit each connection before it is
// served. A server takes one; nil is none.
func WithServerHandshaker(handshaker Handshaker) ServerOpt {
	return func(c *serverConfig) error {
		if c.handshaker != nil {
			return errors.New("ttrpc: only one handshaker allowed per server")
		}
		c.handshaker = handshaker
		return nil
	}
}

// WithServerHandshakeTimeout limits the time that a handshake may take: 10
// seconds by default. Then the connection is refused, even if the handshaker goes
// on: see Handshaker. (Not in released versions.)
func WithServerHandshakeTimeout(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		if d <= 0 {
			return fmt.Errorf("ttrpc: handshake timeout %v is not positive", d)
		}
		c.handshakeTimeout = d
		return nil
	}
}

// WithServerWriteTimeout ends a connection whose peer takes nothing, for that time, of the
// bytes that wait to be written to it: responses, messages of streams. On unix and TCP
// sockets and on TLS a part of a message counts as progress; on other connections a Write
// has to return, which may be of the longest message. The calls that run end as
// with any end of their connection, and the log has a line. By default there is no limit,
// as a peer that is stopped may go on later. (Not in released versions.)
func WithServerWriteTimeout(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		if d <= 0 {
			return fmt.Errorf("ttrpc: write timeout %v is not positive", d)
		}
		c.writeTimeout = d
		return nil
	}
}

// WithUnaryServerInterceptor sets the interceptor of unary calls. A server
// takes one, for more there is WithChainUnaryServerInterceptor; nil is none.
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

// WithChainUnaryServerInterceptor adds interceptors of unary calls. The first
// is the outermost. (Since v1.2.3.)
func WithChainUnaryServerInterceptor(interceptors ...UnaryServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		c.unary = append(c.unary, interceptors...)
		c.unarySet = c.unarySet || len(interceptors) > 0
		return nil
	}
}

// WithStreamServerInterceptor sets the interceptor of streams. A server takes
// one, for more there is WithChainStreamServerInterceptor; nil is none. (Not in
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

// WithChainStreamServerInterceptor adds interceptors of streams. The first is
// the outermost. (Not in released versions.)
func WithChainStreamServerInterceptor(interceptors ...StreamServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		c.stream = append(c.stream, interceptors...)
		c.streamSet = c.streamSet || len(interceptors) > 0
		return nil
	}
}

// WithServerLimits sets the limits of each connection. After WithServerUntrustedPeers
// a zero field stands for the limit of that option. (Not in released versions.)
func WithServerLimits(l Limits) ServerOpt {
	return func(c *serverConfig) (err error) {
		c.conn, err = l.config(c.connDefaults)
		return err
	}
}

// WithServerMaxCalls limits how many calls and streams may run at once on each
// connection. One more is answered with ResourceExhausted at once. By default
// there is no limit: WithServerUntrustedPeers sets one. A call counts
// until its handler has returned and its response is queued, even if its stream ended
// before. (Not in released versions.)
func WithServerMaxCalls(n int) ServerOpt {
	return func(c *serverConfig) error {
		if n < 1 {
			return fmt.Errorf("ttrpc: maximum of calls %d is not positive", n)
		}
		c.maxCalls = n
		return nil
	}
}

// WithServerMaxMetadata limits the metadata of a call, in bytes of keys and
// values and 128 more for each entry, which is what it costs in memory: 1 MiB by
// default. A call with more is answered with ResourceExhausted. (Not in released
// versions.)
func WithServerMaxMetadata(n int) ServerOpt {
	return func(c *serverConfig) error {
		if n < 0 {
			return fmt.Errorf("ttrpc: maximum of metadata %d is negative", n)
		}
		c.maxMetadata = n
		return nil
	}
}

// WithServerGoroutinePerCall runs each handler on a goroutine of its own, which
// begins and ends with the call. By default a method whose handler is quick as a rule
// runs on the goroutine that reads its connection, which runs the next call, too. A
// handler that changes its thread or its goroutine for good needs this: one that
// locks its thread (runtime.LockOSThread) and does not unlock it, because it has
// entered a namespace (setns, unshare) or changed its credentials, ends the thread
// with the call then; and one that sets pprof labels sets them for its call alone.
// It costs a quick call some microseconds. (Not in released versions, which always
// do so.)
func WithServerGoroutinePerCall() ServerOpt {
	return func(c *serverConfig) error {
		c.goroutinePerCall = true
		return nil
	}
}

// WithServerVTProtobuf has the server encode and decode messages by the methods that
// vtprotobuf generates, where they exist. For a message of 8 KiB with many fields a
// call then takes a quarter less time; for one of 128 bytes there is no difference to
// speak of. The peer does not notice, except that those methods
//
//   - send and accept strings that are not UTF-8, which are errors otherwise, at a
//     peer as well;
//   - leave out a oneof that is set to a nil message, which otherwise goes as an
//     empty one.
//
// Messages of types that consist of extensible, group or recursive ones are encoded
// and decoded by protobuf-go all the same: vtprotobuf's methods lose extensions and
// refuse groups, and deep recursion would end the process. (Not in released versions.)
func WithServerVTProtobuf() ServerOpt {
	return func(c *serverConfig) error {
		c.codec.vt = true
		return nil
	}
}

// PanicHandler decides what a panic in a handler, or in an interceptor around
// it, means. It runs on the handler's goroutine with what was recovered, nil for
// runtime.Goexit, and the stack of the panic. The error that it returns goes to the
// client; nil stands for a status Internal that does not say more. It may panic, to
// end the process; the client may get an answer before that. The value may have text
// of the client's in it, of any length and with any characters. (Not in released
// versions.)
type PanicHandler func(ctx context.Context, fullMethod string, value any, stack []byte) error

// WithServerPanicHandler replaces what a server does with a panic by default:
// log it with its stack, answer Internal, and go on. (Not in released
// versions.)
func WithServerPanicHandler(h PanicHandler) ServerOpt {
	return func(c *serverConfig) error {
		c.onPanic = h
		return nil
	}
}

// Logger takes what an operator should know, in one call of Printf for each event.
// That is a line, save for a panic, whose stack follows in the same call on lines
// of its own, which are indented. An event has at most 16 KiB of printable characters:
// line breaks and others that come from a peer are escaped, and a peer's name is quoted.
// *log.Logger is one. It may be called by several goroutines at once. (Not in released
// versions.)
type Logger interface {
	Printf(format string, args ...any)
}

// WithServerLogger has the server write to l instead of the standard logger of
// package log: connections that were refused, those that failed or broke the protocol,
// panics, and failures to accept. At most ten events a second of each of these kinds are
// written, so that a flood of one hides no other, and within a second how many were left
// out. (Not in released versions.)
func WithServerLogger(l Logger) ServerOpt {
	return func(c *serverConfig) error {
		c.logger = l
		return nil
	}
}
