package ttrpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Server serves the registered services on any number of listeners. Its
// methods may be called from several goroutines at once.
//
// Each call runs its handler with a context whose parent is that given to
// Serve. The client gets the error that a handler returns: a gRPC
// status (google.golang.org/grpc/status) as it is, details and all, and
// otherwise
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
// with the error's text. A status and the errors of contexts are found in wrapped
// errors, too; those of io and os count bare alone, as the functions of package os
// see them. A handler that panics is an Internal error to the
// client and a line in the log: see WithServerPanicHandler.
type Server struct {
	cfg         serverConfig
	unaryChain  UnaryServerInterceptor  // nil for none
	streamChain StreamServerInterceptor // nil for none
	log         limitedLogger
	services    atomic.Pointer[registry]
	watchdog    watchdog
	lastRequest atomic.Int64 // clock when the last request came, or a little before: see busy
	calls       callCount    // on all connections

	mu        sync.Mutex
	state     serverState
	stopped   chan struct{}              // closed when state leaves serverOpen
	listeners map[*net.Listener]struct{} // pointers: a listener need not be comparable
	conns     map[*serverConn]struct{}
	byUID     map[uint32]int // how many of conns count for a uid: see countConnLocked
	noConns   chan struct{}  // closed when Shutdown was called and the last conn is gone; nil before
}

// serverState only ever rises.
type serverState uint8

const (
	serverOpen     serverState = iota
	serverDraining             // Shutdown: calls that run may finish
	serverClosed               // Close
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

// NewServer returns a server with nothing registered.
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

// Register registers a service of unary methods. It panics when there is one
// of that name, or a method is nil.
func (s *Server) Register(name string, methods map[string]Method) {
	s.RegisterService(name, &ServiceDesc{Methods: methods})
}

// RegisterService registers a service. It panics when there is one of that
// name, or a method or a stream's handler is nil. It may be called while the server serves. (Since v1.2.0.)
func (s *Server) RegisterService(name string, desc *ServiceDesc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := s.services.Load().with(name, desc)
	s.services.Store(&more)
}

// Serve accepts connections from l and serves them, until l fails or the
// server is closed; it always closes l and returns a non-nil error: exactly
// ErrServerClosed after Close or Shutdown, otherwise that of the listener, such
// as one that Is net.ErrClosed. Failures that pass, like a lack of file
// descriptors, it waits out.
//
// ctx is the parent of the contexts of all handlers. Its end ends theirs, and
// nothing else: Serve goes on. It panics when l is nil.
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

// isTemporary says whether accepting may work again later.
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

// Shutdown stops accepting, closes connections without calls, and lets the
// calls that run finish and deliver their responses: each connection closes
// 5 milliseconds after its last. New calls are answered with Unavailable. It returns when
// no connection is left and the listeners are closed, or the error of ctx when that
// ends before: then the rest goes on, and Close can end it. For the Close of listeners
// and of connections that are not TCP sockets it waits a tenth of a second with any
// ctx. Else its error is the first of closing a listener. A handler that calls it waits
// for itself, until ctx ends.
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
	case <-closing.done: // with any ctx
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

// awaitNoConns waits for the end of all connections, after Shutdown, or of ctx. Those
// that are about to end do not count: they take farewell at most.
func (s *Server) awaitNoConns(ctx context.Context) error {
	select {
	case <-s.noConns: // with any ctx
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
	<-s.noConns
	return nil
}

// leaving reports whether the connections that are left are about to end.
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

// Close stops accepting and ends all connections: the contexts of running handlers
// end, and their clients get ErrClosed. It waits neither for the handlers nor for
// frames that were queued before, which are still written as far as the client takes
// them, for a second at most; for the Close of listeners and of connections that are not TCP sockets
// it waits a tenth of a second at most. It returns the first error of closing a listener.
func (s *Server) Close() error {
	s.mu.Lock()
	listeners := s.stopLocked(serverClosed)
	conns := s.connsLocked()
	s.mu.Unlock()

	closing := closeListeners(listeners)
	endAll(conns, (*serverConn).close)
	return closing.wait()
}

// stopLocked raises the state and returns the listeners, which are to be closed
// without the lock: their code is not ours.
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

// endWatchdogLocked ends it when there is nothing for it to look at, and never will
// be.
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

// startConn adds a connection and starts its goroutine.
func (s *Server) startConn(serving *serving, nc net.Conn) {
	sc := &serverConn{server: s, serving: serving, nc: nc}
	uid := s.uidOfSocket(nc)
	s.mu.Lock()
	if s.state != serverOpen {
		s.mu.Unlock()
		closeConn(nc)
		serving.tell(ErrServerClosed)
		return
	}
	if err := s.admitConnLocked(sc, uid); err != nil {
		s.mu.Unlock()
		sc.turnAway(err)
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

// forgetConn reports whether the context of the connection's Serve is over with it.
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
