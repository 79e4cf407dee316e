//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// FuzzHostileServer runs programs of hostile peers against a server with tiny limits.
// Shutdown and Close may come anywhere in a program. Nothing hangs, no more handlers run
// than the limits allow, a stream has one final frame and its messages in order, a peer
// that behaves well in the end is served, and nothing is left.
func FuzzHostileServer(f *testing.F) {
	for _, form := range extensionForms() { // a frame of extensions in each state, with and beside a stream
		frame := []byte{6, form, byte(messageTypeSettings) | form&0xf, form}
		ack := []byte{6, 5, byte(messageTypeSettings), 0x80}
		offer := []byte{11, 0, 5, 0xc1}
		program := append(append(append(append([]byte{0x1b}, frame...), offer...), frame...), 1)
		program = append(append(append(program, ack...), frame...), 1, 11, 1, 5, 0x11, 1)
		f.Add(append(append(program, frame...), 1, 12, 1, 3, 1, 3, 9))
	}
	for method := byte(0); method < byte(len(hostileMethods)); method++ {
		f.Add([]byte{0, 11, 0, method, 9, 11, 0, method, 9, 1, 12, 0, 3, 1, 13, 0, 1, 11, 0, method, 1, 1})
		f.Add([]byte{0x1b, 11, 0, method, 0x89, 0, 5, 2, 3, 0, 90, 12, 0, 3, 1, 16, 3, 2, 5, 1, 3, 9})
		f.Add([]byte{0x0e, 11, 0, method, 99, 12, 0, 99, 12, 0, 99, 12, 0, 99, 1, 2, 6, 11, 1, method, 5, 1, 2, 7, 17, 2, 2})
		f.Add([]byte{0x33, 11, 0, method, 9, 1, 15, 11, 0, method, 9, 1, 14, 0, 12, 0, 2, 1, 15, 17})
	}
	// Refused frames that the peer does not read the answers to.
	f.Add([]byte{0x0f, 11, 5, 0, 0, 11, 6, 0, 0, 11, 5, 0, 0, 11, 6, 0, 0, 11, 5, 0, 0, 1, 2, 7, 2, 7, 4, 11, 0, 0, 1, 1})
	// A peer that takes a few bytes at a time, and all in the end.
	f.Add([]byte("7a\x8a00A07\tA07\t00\x0310)"))
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) > maxHostileProgram {
			return
		}
		bubble(t, func(t *testing.T) { runHostileServer(t, &hostileCode{code}) })
	})
}

// hostileServer is a server with its hostile peers.
type hostileServer struct {
	t        *testing.T
	watch    hostileWatch
	s        *Server
	l        *memListener
	maxCalls int
	capacity int
	peers    []*hostilePeer // the last one acts
	closing  bool           // Shutdown or Close was called
	handlers atomic.Int64   // that run
}

func runHostileServer(t *testing.T, code *hostileCode) {
	h := newHostileServer(t, code.next())
	served := make(chan error, 1)
	h.watch.run("Serve", 0, func() { served <- h.s.Serve(context.Background(), h.l) })
	h.dial()
	for len(code.b) > 0 && !t.Failed() {
		h.step(code)
		h.check()
	}
	if !t.Failed() {
		h.finish()
	}
	for _, p := range h.peers {
		p.near.Close()
	}
	h.watch.run("Close", endLimit, func() { h.s.Close() })
	h.watch.end(afterwards)
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if n := h.handlers.Load(); n > 0 || len(h.s.conns) > 0 {
		t.Errorf("the closed server has %d connections and %d handlers", len(h.s.conns), n)
	}
}

// newHostileServer returns a server that the bits of mode configure.
func newHostileServer(t *testing.T, mode byte) *hostileServer {
	h := &hostileServer{
		t: t, watch: hostileWatch{t: t, running: make(map[string]*hostileTask)}, l: newMemListener(0),
		maxCalls: []int{1, 2, 3, 10}[mode&3], capacity: []int{0, 10, 60, 500}[mode>>2&3],
	}
	opts := []ServerOpt{
		WithServerLimits(hostileLimits), WithServerMaxCalls(h.maxCalls), WithServerMaxMetadata(200),
		WithServerLogger(discardLogger{}),
	}
	if mode&0x10 != 0 {
		opts = append(opts, WithServerGoroutinePerCall())
	}
	if mode&0x20 != 0 {
		opts = append(opts, alwaysBusy)
	}
	s, err := NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	h.s = s
	h.register()
	return h
}

// hostileMethods are the methods that a program calls.
var hostileMethods = [...]string{"Echo", "Late", "Block", "Panic", "Goexit", "Streams", "Hoard", "Burst", "Join", "None", "Long"}

func (h *hostileServer) register() {
	unary := func(handler func(ctx context.Context, m *KeyValue) (any, error)) Method {
		return func(ctx context.Context, unmarshal func(any) error) (any, error) {
			h.handlers.Add(1)
			defer h.handlers.Add(-1)
			var m KeyValue
			if err := unmarshal(&m); err != nil {
				return nil, err
			}
			setHostileMetadata(ctx)
			return handler(ctx, &m)
		}
	}
	stream := func(client, server bool, handler func(ctx context.Context, ss StreamServer) (any, error)) Stream {
		return Stream{StreamingClient: client, StreamingServer: server, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			h.handlers.Add(1)
			defer h.handlers.Add(-1)
			setHostileMetadata(ctx)
			return handler(ctx, ss)
		}}
	}
	h.s.RegisterService(testService, &ServiceDesc{
		Methods: map[string]Method{
			"Echo": unary(func(_ context.Context, m *KeyValue) (any, error) { return m, nil }),
			"Late": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				time.Sleep(2 * time.Second) // even if ctx ends
				return unary(func(_ context.Context, m *KeyValue) (any, error) { return m, nil })(ctx, unmarshal)
			},
			"Block":  unary(func(ctx context.Context, _ *KeyValue) (any, error) { <-ctx.Done(); return nil, ctx.Err() }),
			"Panic":  unary(func(_ context.Context, m *KeyValue) (any, error) { panic(m.Value) }),
			"Goexit": unary(func(context.Context, *KeyValue) (any, error) { runtime.Goexit(); return nil, nil }),
			"Long":   unary(func(_ context.Context, m *KeyValue) (any, error) { return text(m.Value + m.Value + m.Value), nil }),
		},
		Streams: map[string]Stream{
			"Streams": stream(true, true, func(_ context.Context, ss StreamServer) (any, error) { return nil, h.echo(ss, 0) }),
			"Join":    stream(true, false, func(_ context.Context, ss StreamServer) (any, error) { return text("joined"), h.echo(ss, time.Second) }),
			"Hoard": stream(true, true, func(ctx context.Context, _ StreamServer) (any, error) {
				<-ctx.Done() // and takes no message
				return nil, ctx.Err()
			}),
			"Burst": stream(false, true, func(_ context.Context, ss StreamServer) (any, error) {
				for i := 0; i < 30; i++ {
					if err := ss.SendMsg(text("a message of a burst")); err != nil {
						return nil, err
					}
				}
				return text("the last"), nil
			}),
		},
	})
}

// setHostileMetadata sets metadata of a response, whose frames a peer may refuse to read.
func setHostileMetadata(ctx context.Context) {
	SetHeader(ctx, MD{"begin": {"of a response"}})
	SetTrailer(ctx, MD{"end": {"of a response"}})
}

// echo receives everything. Without a pause it also answers.
func (h *hostileServer) echo(ss StreamServer, pause time.Duration) error {
	var order rising
	for {
		var m KeyValue
		if err := ss.RecvMsg(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Value != "" {
			if err := order.check(m.Value, 0); err != nil {
				h.t.Error(err)
			}
		}
		time.Sleep(pause)
		if pause == 0 {
			if err := ss.SendMsg(&m); err != nil {
				return err
			}
		}
	}
}

func (h *hostileServer) dial() {
	p := newHostilePeer(h.capacity)
	if h.l.hand(p.far) {
		h.peers = append(h.peers, p)
	}
}

// step does the next step of the program.
func (h *hostileServer) step(code *hostileCode) {
	op, p := code.next()%18, h.peers[len(h.peers)-1]
	if p.step(op, code) {
		return
	}
	switch op {
	case 11:
		h.addRequest(p, code)
	case 12:
		id := hostileIDs[code.next()%8]
		f := data(id, 0, p.message(id, code.next()))
		if len(f.body)%7 == 0 {
			f.flags = flagRemoteClosed
		}
		p.add(f)
	case 13:
		p.add(data(hostileIDs[code.next()%8], flagRemoteClosed|flagNoData, nil))
	case 14:
		p.add(response(hostileIDs[code.next()%8], text("no response")))
	case 15: // another connection, or an earlier one
		if len(h.peers) < 3 {
			h.dial()
		} else {
			h.peers = append(h.peers[1:], h.peers[0])
		}
	case 16:
		h.closing = true
		limit := hostilePauses[code.next()%8]
		h.watch.run("Shutdown", limit+endLimit, func() {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			if err := h.s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				h.t.Errorf("Shutdown: %v", err)
			}
		})
	case 17:
		if code.next()%4 == 0 {
			h.closing = true
			h.watch.run("Close", endLimit, func() { h.s.Close() })
		}
	}
}

func (h *hostileServer) addRequest(p *hostilePeer, code *hostileCode) {
	id := hostileIDs[code.next()%8]
	method, detail := code.next(), code.next()
	req := &Request{Service: testService, Method: hostileMethods[int(method)%len(hostileMethods)]}
	fl := flagRemoteOpen
	if detail&1 == 0 {
		fl = flagRemoteClosed
	}
	if detail&2 == 0 {
		req.Payload = mustMarshal(p.message(id, detail))
	}
	switch detail >> 5 {
	case 1:
		req.TimeoutNano = -1
	case 2:
		req.TimeoutNano = int64(hostilePauses[detail>>2&7])
	case 3:
		req.TimeoutNano = 1<<63 - 1
	case 4:
		req.Metadata = []*KeyValue{{Key: "k", Value: "v"}, {Key: "k"}}
	case 5:
		req.Payload = []byte{0xff} // no message
	}
	f := requestFrame(id, fl, req)
	if detail>>5 >= 6 {
		f.body = scriptSettings.appendOffer(f.body)
	}
	p.add(f)
}

// conns returns the server's connections.
func (h *hostileServer) conns() []*serverConn {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.connsLocked()
}

// check checks the limits that always hold.
func (h *hostileServer) check() {
	h.watch.left()
	for _, sc := range h.conns() {
		c := sc.started()
		if c == nil {
			continue
		}
		streams, _ := tableOf(c)
		if running := int(sc.running.Load()); running > h.maxCalls || streams > running {
			h.t.Errorf("%d streams and %d handlers, at most %d", streams, running, h.maxCalls)
		}
	}
}

// finish makes every peer send the rest, read everything, and make a last call.
func (h *hostileServer) finish() {
	const longest = 3 * time.Minute // each stream may hold up reading for a second
	for _, p := range h.peers {
		p.send(len(p.pending))
	}
	for _, p := range h.peers {
		p.readOn(longest)
	}
	for _, p := range h.peers {
		h.finishPeer(p)
	}
}

// lastID is the id of the last call, which no program uses.
const lastID streamID = 1<<32 - 3

func (h *hostileServer) finishPeer(p *hostilePeer) {
	aligned, ended := p.aligned(), p.near.ended()
	excused := h.closing || p.closed || p.lied || p.capacity > 0 && p.paused >= replyTimeout
	if ended && !excused {
		h.t.Error("the server has closed a connection for no reason")
	}
	if aligned && !ended && !h.closing && !p.closed {
		// All that was sent is read by now, so this is answered.
		p.add(request(lastID, "Echo", 0, text("the last call")))
		p.send(len(p.pending))
		p.readOn(time.Second)
		h.checkAnswered(p)
	}
	if err := checkServerOutput(p.sent, p.output); err != nil {
		h.t.Error(err)
	}
}

// checkAnswered checks that every frame has its answer, or a call that is still running.
func (h *hostileServer) checkAnswered(p *hostilePeer) {
	open := make(map[streamID]bool)
	for _, sc := range h.conns() {
		if sc.nc == p.far {
			sc.conn.mu.Lock()
			for id := range sc.conn.streams {
				open[id] = true
			}
			sc.conn.mu.Unlock()
		}
	}
	synctest.Wait()
	p.read(1 << 20)
	checkServerAnswered(h.t, p.sent, p.output, open)
	frames, _ := splitOutput(p.output, maxMessageLengthLimit)
	last := frames[len(frames)-1]
	for _, f := range frames {
		if f.id == lastID {
			last = f
		}
	}
	var resp Response
	if err := proto.Unmarshal(last.body, &resp); last.id != lastID || err != nil {
		h.t.Errorf("the last call was answered by %v", last)
		return
	}
	if code := codes.Code(resp.GetStatus().GetCode()); code != codes.OK && code != codes.ResourceExhausted {
		h.t.Errorf("the last call was answered by %v", resp.GetStatus())
	}
}
