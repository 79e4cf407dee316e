//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzServer lets a server read arbitrary bytes. The server answers within the protocol and
// uses a bounded amount of memory, and nothing is left of the connection after its end.
func FuzzServer(f *testing.F) {
	modes := []fuzzMode{0, fuzzSocket, fuzzUnread, fuzzTiny, fuzzSocket | fuzzTiny}
	for _, seed := range scriptSeeds() {
		for _, mode := range modes {
			f.Add(seed, uint8(mode|fuzzScript))
		}
		f.Add(scriptFrames(seed), uint8(0))
		f.Add(scriptFrames(seed)[:len(scriptFrames(seed))-1], uint8(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, m uint8) {
		mode := fuzzMode(m)
		sent := mode.bytesOf(b)
		if !mode.has(fuzzSocket) {
			bubble(t, func(t *testing.T) { fuzzServerInMemory(t, mode, sent) })
			return
		}
		settle(t)
		peak := keepLedger(t, func() {
			near, far := socketPair(t)
			fuzzServerConn(t, mode, sent, near, far)
			settle(t)
		})
		checkServerMemory(t, peak)
	})
}

// fuzzMaxCalls limits the calls of the server.
const fuzzMaxCalls = 10

// checkServerMemory checks the documented bound of a connection's memory: the frame that is
// being read, the write queue, and a request and an inbox for each call.
func checkServerMemory(t *testing.T, peak int) {
	t.Helper()
	message := 4096 + bufferSlack // the buffer of the longest
	most := 2*(readChunkLength+bufferSlack) + message +
		fuzzLimits.MaxPendingWrite + batchLength + message + 2*replyLimit +
		fuzzMaxCalls*(2*message+fuzzLimits.MaxStreamBuffer+message)
	if peak > most {
		t.Errorf("the connection took %d bytes of buffers at once, want at most %d", peak, most)
	}
}

func newFuzzServer(t *testing.T) (s *Server, l *memListener, served chan error) {
	t.Helper()
	s, err := NewServer(WithServerLimits(fuzzLimits), WithServerMaxCalls(fuzzMaxCalls),
		WithServerMaxMetadata(1000), WithServerLogger(&testLogger{}))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, echoMethods())
	// The method of an empty request.
	s.RegisterService("", &ServiceDesc{Streams: map[string]Stream{"": echoMethods().Streams["Repeat"]}})
	l = newMemListener(0)
	served = make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	return s, l, served
}

// fuzzServerConn runs a server to the end over any connection. The peer reads everything,
// since otherwise time would have to pass.
func fuzzServerConn(t *testing.T, mode fuzzMode, sent []byte, near, far net.Conn) {
	s, l, served := newFuzzServer(t)
	l.hand(far)
	output := collect(near)
	mode.write(near, sent)
	near.(interface{ CloseWrite() error }).CloseWrite()
	if err := checkServerOutput(sent, output()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
}

// fuzzServerInMemory inspects the server after it has read all bytes.
func fuzzServerInMemory(t *testing.T, mode fuzzMode, sent []byte) {
	s, l, served := newFuzzServer(t)
	capacity := 0
	if mode.has(fuzzUnread) {
		capacity = 1000
	}
	near, far := memPipe(capacity)
	l.hand(far)
	synctest.Wait()
	var sc *serverConn
	s.mu.Lock()
	for sc = range s.conns {
	}
	s.mu.Unlock()

	output := func() []byte { return nil }
	if !mode.has(fuzzUnread) {
		output = collect(near)
	}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		mode.write(near, sent)
	}()
	time.Sleep(10 * time.Second) // for every limit that there is

	open := make(map[streamID]bool)
	sc.conn.mu.Lock()
	streams, ended := len(sc.conn.streams), sc.conn.err != nil
	for id := range sc.conn.streams {
		open[id] = true
	}
	sc.conn.mu.Unlock()
	if running := int(sc.running.Load()); running > fuzzMaxCalls || streams > running {
		t.Errorf("%d streams and %d handlers, at most %d", streams, running, fuzzMaxCalls)
	}
	near.Close()
	<-wrote
	synctest.Wait()
	sc.conn.mu.Lock()
	if sc.conn.err == nil || len(sc.conn.streams) > 0 {
		t.Errorf("the connection was closed: it has the error %v and %d streams", sc.conn.err, len(sc.conn.streams))
	}
	sc.conn.mu.Unlock()
	if n := sc.running.Load(); n > 0 {
		t.Errorf("the connection was closed and %d handlers run", n)
	}
	if b := output(); !mode.has(fuzzUnread) {
		if err := checkServerOutput(sent, b); err != nil {
			t.Error(err)
		}
		if !ended {
			checkServerAnswered(t, sent, b, open)
		}
	}
	s.Close()
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
}

// checkServerAnswered checks that every frame with an even id was answered, and every
// request, unless its stream is still open.
func checkServerAnswered(t *testing.T, sent, output []byte, open map[streamID]bool) {
	t.Helper()
	finals := make(map[streamID]int)
	frames, _ := splitOutput(output, maxMessageLengthLimit)
	for _, f := range frames {
		if f.typ == messageTypeResponse || f.flags.has(flagRemoteClosed) {
			finals[f.id]++
		}
	}
	var ext negotiationModel
	cancelled := make(map[streamID]bool)
	var requested []streamID
	for _, f := range splitFrames(sent, fuzzLimits.MaxMessageLength) {
		control := f.err == nil && ext.serverReads(f)
		if can, ok := parseCancellation(f.body); ok && control && f.h.typ == messageTypeCancel {
			cancelled[can.id] = true
		}
		switch {
		case f.err != nil, control:
		case !f.h.id.isClient():
			finals[f.h.id]--
		case f.h.typ == messageTypeRequest:
			requested = append(requested, f.h.id)
		}
	}
	for _, id := range requested {
		if finals[id] == 0 && !open[id] && !cancelled[id] {
			t.Errorf("the request on stream %d was not answered", id)
		}
	}
	for id, n := range finals {
		if !id.isClient() && n != 0 {
			t.Errorf("the frames on stream %d got %d answers more than there were", id, n)
		}
	}
}
