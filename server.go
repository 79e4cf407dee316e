package ttrpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Server serves registered services on any number of listeners and connections. Its
// methods may be called from several goroutines at once.
//
// Each handler runs with a context whose parent is the context given to Serve. The client
// receives the error that a handler returns as a gRPC status. A status error
// (google.golang.org/grpc/status) arrives unchanged, including its details. Other errors
// arrive with their text and one of these codes:
//
//	context.Canceled            Canceled
//	context.DeadlineExceeded    DeadlineExceeded
//	io.EOF                      OutOfRange
//	os.ErrInvalid               InvalidArgument
//	os.IsExist                  AlreadyExists
//	os.IsNotExist               NotFound
//	os.IsPermission             PermissionDenied
//	io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer,
//	io.ErrShortWrite, io.ErrUnexpectedEOF
//	                            FailedPrecondition
//	any other                   Unknown
//
// Statuses and the errors of package context are also found in wrapped errors. The errors
// of io and os count only unwrapped, as the functions of package os see them. If a handler
// panics, the client receives Internal and the log gets the stack: see
// WithServerPanicHandler.
type Server struct {
	cfg         serverConfig
	unaryChain  UnaryServerInterceptor  // nil for none
	streamChain StreamServerInterceptor // nil for none
	log         limitedLogger
	services    atomic.Pointer[registry]
	watchdog    watchdog
	lastRequest atomic.Int64 // clock of the last request, or a little earlier: see busy
	calls       callCount    // on all connections

	mu        sync.Mutex
	state     serverState
	stopped   chan struct{}              // closed when state leaves serverOpen
	listeners map[*net.Listener]struct{} // pointers: a listener need not be comparable
	conns     map[*serverConn]struct{}
	byUID     map[uint32]int // number of conns by uid: see countConnLocked
	noConns   chan struct{}  // made by Shutdown; closed when the last conn is gone
}

// serverState only ever rises.
type serverState uint8

const (
	serverOpen     serverState = iota
	serverDraining             // after Shutdown: running calls may finish
	serverClosed               // after Close
)

func (state serverState) String() string {
	switch state {
	case serverOpen:
		return "open"
	case serverDraining:
		return "draining"
	}
	return "closed"
}

// NewServer returns a server without services. It returns the error of the first option
// that fails, such as one with a value out of range.
func NewServer(opts ...ServerOpt) (*Server, error) {
	s := &Server{
		cfg: serverConfig{
			conn:             defaultConnConfig,
			connDefaults:     defaultConnConfig,
			extensions:       true,
			cancellation:     CancelStreams,
			handshakeTimeout: defaultHandshakeTimeout,
			maxMetadata:      defaultMaxMetadata,
			busyInterval:     defaultBusyInterval,
		},
		stopped:   make(chan struct{}),
		listeners: make(map[*net.Listener]struct{}),
		conns:     make(map[*serverConn]struct{}),
		byUID:     make(map[uint32]int),
	}
	for _, opt := range opts {
		if err := opt(&s.cfg); err != nil {
			return nil, err
		}
	}
	s.unaryChain = chainUnaryServer(s.cfg.unary)
	s.streamChain = chainStreamServer(s.cfg.stream)
	s.log.to = s.cfg.logger
	s.calls.max = int64(s.cfg.maxHandlers)
	s.services.Store(&registry{})
	return s, nil
}

// Register registers a service of unary methods. It panics if a service of that name is
// registered, or a method is nil.
func (s *Server) Register(name string, methods map[string]Method) {
	s.RegisterService(name, &ServiceDesc{Methods: methods})
}

// RegisterService registers a service. It panics if a service of that name is registered,
// desc is nil, a method or a stream's handler is nil, or a method and a stream share a
// name. It may be called while the server is serving. (Since v1.2.0.)
func (s *Server) RegisterService(name string, desc *ServiceDesc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := s.services.Load().with(name, desc)
	s.services.Store(&more)
}

// Services returns the registered services by name. The caller owns the maps. (Not in
// released versions.)
func (s *Server) Services() map[string]*ServiceDesc { return s.services.Load().describe() }

// Serve accepts connections from l and serves them until l fails or the server is closed.
// It always closes l, and always returns a non-nil error: exactly ErrServerClosed after
// Close or Shutdown, otherwise the error of the listener, such as one that matches
// net.ErrClosed. After temporary failures, such as a lack of file descriptors, it waits and
// tries again. It panics if l is nil.
//
// ctx is the parent of the contexts of all handlers. The end of ctx ends those contexts and
// nothing else: Serve goes on.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if isNil(l) {
		panic("ttrpc: nil listener")
	}
	defer func() { closeListeners([]net.Listener{l}).wait() }()
	if !s.addListener(&l) {
		return ErrServerClosed
	}
	defer s.removeListener(&l)
	s.refuseDescriptors(l)
	serving := s.newServing(ctx)
	defer serving.leave()

	var backoff time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			backoff = 0
			s.startConn(serving, nc)
			continue
		}
		select {
		case <-s.stopped:
			return ErrServerClosed
		default:
		}
		if !isTemporary(err) {
			return err
		}
		backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
		s.log.event(logAccept, "accept failed, next try in %v: %v", backoff, err)
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-s.stopped:
			timer.Stop()
			return ErrServerClosed
		}
	}
}

// isTemporary reports whether accepting may work again after err.
func isTemporary(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	for _, target := range temporaryErrnos {
		if errors.Is(err, target) {
			return true
		}
	}
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

// Shutdown stops accepting, closes idle connections, and lets running calls finish and
// deliver their responses: a connection closes 5 milliseconds after its last response. New
// calls are answered with Unavailable.
//
// Shutdown returns when no connection is left and the listeners are closed, with the first
// error of closing a listener. If ctx ends first, Shutdown returns the error of ctx, the
// shutdown goes on, and Close can end it. Even then it waits up to a tenth of a second for
// the Close of listeners and of connections that are not TCP sockets. A handler that calls
// Shutdown waits for itself, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	listeners := s.stopLocked(serverDraining)
	conns := s.connsLocked()
	if s.noConns == nil {
		s.noConns = make(chan struct{})
		s.checkNoConnsLocked()
	}
	s.mu.Unlock()

	closing := closeListeners(listeners)
	endAll(conns, (*serverConn).drain)
	closing.wait()
	if err := s.awaitNoConns(ctx); err != nil {
		return err
	}
	select {
	case <-closing.done: // even if ctx has ended
		return closing.err
	default:
	}
	select {
	case <-closing.done:
		return closing.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitNoConns waits for the end of all connections or of ctx, after Shutdown. If ctx ends
// when all connections that are left are about to end, awaitNoConns waits for them: that
// takes farewell, or lingerLimit on TCP, unless a Close or the logger of the user holds them
// up.
func (s *Server) awaitNoConns(ctx context.Context) error {
	select {
	case <-s.noConns: // even if ctx has ended
		return nil
	default:
	}
	select {
	case <-s.noConns:
		return nil
	case <-ctx.Done():
	}
	if !s.leaving() {
		return ctx.Err()
	}
	timer := time.NewTimer(2 * lingerLimit)
	defer timer.Stop()
	select {
	case <-s.noConns:
		return nil
	case <-timer.C:
		return ctx.Err()
	}
}

// leaving reports whether all connections that are left are about to end.
func (s *Server) leaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sc := range s.conns {
		if sc.conn == nil || !sc.conn.isLeaving() {
			return false
		}
	}
	return true
}

// Close stops accepting and ends all connections: the contexts of running handlers end, and
// clients get ErrClosed. It does not wait for handlers. Nor does it wait for queued
// responses and messages, which are still written for up to a second while the client reads.
// It waits a tenth of a second at most for the Close of listeners and of connections that
// are not TCP sockets. It returns the first error of closing a listener.
func (s *Server) Close() error {
	s.mu.Lock()
	listeners := s.stopLocked(serverClosed)
	conns := s.connsLocked()
	s.mu.Unlock()

	closing := closeListeners(listeners)
	endAll(conns, (*serverConn).close)
	return closing.wait()
}

// stopLocked raises the state and returns the listeners. The caller closes them without the
// lock: Close is the user's code.
func (s *Server) stopLocked(state serverState) (listeners []net.Listener) {
	if s.state == serverOpen {
		close(s.stopped)
	}
	s.state = max(s.state, state)
	s.endWatchdogLocked()
	for l := range s.listeners {
		listeners = append(listeners, *l)
		delete(s.listeners, l)
	}
	return listeners
}

func (s *Server) addListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverOpen {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) connsLocked() []*serverConn {
	conns := make([]*serverConn, 0, len(s.conns))
	for sc := range s.conns {
		conns = append(conns, sc)
	}
	return conns
}

// endWatchdogLocked ends the watchdog once the server has no connection and accepts none.
func (s *Server) endWatchdogLocked() {
	if s.state != serverOpen && len(s.conns) == 0 {
		s.watchdog.end()
	}
}

func (s *Server) checkNoConnsLocked() {
	if s.noConns == nil || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.noConns:
	default:
		close(s.noConns)
	}
}

// startConn adds a connection and starts its goroutine, or closes the connection if the
// server is closed or a limit refuses it.
func (s *Server) startConn(serving *serving, nc net.Conn) {
	sc := &serverConn{server: s, serving: serving, nc: nc}
	uid := s.uidOfSocket(nc)
	s.mu.Lock()
	if s.state != serverOpen {
		s.mu.Unlock()
		closeConn(nc, false)
		serving.tell(ErrServerClosed)
		return
	}
	if err := s.admitConnLocked(sc, uid); err != nil {
		s.mu.Unlock()
		go sc.turnAway(err)
		return
	}
	s.conns[sc] = struct{}{}
	serving.conns++
	s.mu.Unlock()
	go sc.serve()
}

// removeConn forgets a connection that has ended.
func (s *Server) removeConn(sc *serverConn) {
	if s.forgetConn(sc) {
		sc.serving.stop()
	}
}

// forgetConn takes the connection out of the server's books. It reports whether the
// connection was the last user of the context of its Serve.
func (s *Server) forgetConn(sc *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[sc]; !ok {
		return false
	}
	delete(s.conns, sc)
	s.setUIDLocked(sc, connUID{})
	sc.serving.conns--
	s.checkNoConnsLocked()
	s.endWatchdogLocked()
	return sc.serving.unusedLocked()
}
