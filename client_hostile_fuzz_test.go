//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

// FuzzHostileClient runs programs of a hostile server against a client with tiny limits.
// Close may come anywhere in a program. A call or stream ends with its context and with the
// client; it gets only messages that were sent on its id, each once; the table has no more
// entries than calls and streams are running; and nothing is left at the end.
func FuzzHostileClient(f *testing.F) {
	for _, form := range extensionForms() { // a frame of extensions beside a call or stream
		frame := []byte{6, form, byte(messageTypeSettings) | form&0xf, form}
		program := append([]byte{0, 11, form, 0x70}, 6, 5, byte(messageTypeSettings), 0x0f, 1)
		program = append(append(program, frame...), 1, 11, form+1, 0x71)
		f.Add(append(append(program, frame...), 1, 12, 0, 1, 0, 13, 1, 9, 1))
	}
	for kind := byte(0); kind < 4; kind++ {
		f.Add([]byte{0, 11, kind, 0x10, 12, 0, 1, 0, 13, 0, 9, 13, 0, 9, 1, 12, 0, 3, 0, 14, 0, 1, 4})
		f.Add([]byte{0x05, 11, kind, 0x33, 11, kind, 0x7d, 2, 6, 3, 9, 13, 0, 90, 13, 0, 90, 0, 17, 2, 5, 1, 4, 2, 6})
		f.Add([]byte{0x0a, 11, kind, 0xff, 11, kind, 0xff, 11, kind, 0xff, 2, 5, 2, 7, 12, 0, 1, 0, 15, 0, 1, 16, 0})
		f.Add([]byte{0x0d, 11, kind, 0x4c, 13, 1, 99, 13, 1, 99, 13, 1, 99, 1, 2, 6, 12, 1, 0, 1, 1, 9})
	}
	// The last message comes while a bad one is received.
	f.Add([]byte("0110cx0\x030Z01"))
	// A server that speaks another protocol: a call after that says so.
	f.Add([]byte("0A"))
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) > maxHostileProgram {
			return
		}
		bubble(t, func(t *testing.T) { runHostileClient(t, &hostileCode{code}) })
	})
}

// hostileClient is a client and its hostile server.
type hostileClient struct {
	t       *testing.T
	watch   hostileWatch
	c       *Client
	p       *hostilePeer
	onClose int // how often it was called
	closed  bool
	cancels []context.CancelFunc

	mu      sync.Mutex
	results map[string]string // the value that each unary call got
}

func runHostileClient(t *testing.T, code *hostileCode) {
	h := &hostileClient{
		t: t, watch: hostileWatch{t: t, running: make(map[string]*hostileTask)}, results: make(map[string]string),
		p: newHostilePeer([]int{0, 10, 60, 500}[code.next()&3]),
	}
	h.c = NewClient(h.p.far, WithClientLimits(hostileLimits), WithOnClose(func() { h.onClose++ }))
	for len(code.b) > 0 && !t.Failed() {
		h.step(code)
		h.check()
	}
	if !t.Failed() {
		h.finish()
	}
	h.watch.run("Close", endLimit, func() { h.c.Close() })
	time.Sleep(endLimit)
	if n := h.watch.left(); n > 0 {
		t.Errorf("%d calls and streams outlive the client by %v", n, endLimit)
	}
	h.p.near.Close()
	for _, cancel := range h.cancels {
		cancel()
	}
	h.watch.end(afterwards)
	if err := h.c.UserOnCloseWait(context.Background()); err != nil || h.onClose != 1 {
		t.Errorf("OnClose was called %d times, UserOnCloseWait returned %v", h.onClose, err)
	}
	h.p.aligned() // notes whether the server broke the protocol
	if err := echo(context.Background(), h.c, "late"); !errors.Is(err, ErrClosed) || err != ErrClosed && !h.p.lied {
		t.Errorf("a call after Close: got %v, want ErrClosed", err)
	}
	h.checkOutput()
}

// step does the next step of the program.
func (h *hostileClient) step(code *hostileCode) {
	op := code.next() % 19
	if h.p.step(op, code) {
		return
	}
	switch op {
	case 11, 18:
		h.start(code.next()%4, code.next())
	case 12: // a response, perhaps no success, perhaps no response
		id, kind, size := hostileIDs[code.next()%8], code.next(), code.next()
		f := response(id, h.p.message(id, size))
		switch {
		case kind%4 == 1:
			f = failure(id, 5, "not found")
		case kind%16 == 2:
			f.body = []byte{0xff}
		case kind%16 == 6:
			f.body = nil
		}
		f.flags = flags(kind >> 5)
		h.p.add(f)
	case 13:
		id := hostileIDs[code.next()%8]
		h.p.add(data(id, 0, h.p.message(id, code.next())))
	case 14:
		id := hostileIDs[code.next()%8]
		f := data(id, flagRemoteClosed, h.p.message(id, 3))
		if code.next()%2 == 0 {
			f = data(id, flagRemoteClosed|flagNoData, nil)
		}
		h.p.add(f)
	case 15:
		h.p.add(request(hostileIDs[code.next()%8], "Echo", flags(code.next()), text("no request")))
	case 16:
		if code.next()%4 == 0 {
			h.closed = true
			h.watch.run("Close", endLimit, func() { h.c.Close() })
		}
	case 17:
		if n := int(code.next()); len(h.cancels) > 0 {
			h.cancels[n%len(h.cancels)]()
		}
	}
}

// start starts a call or a stream, which ends with its context if not earlier.
func (h *hostileClient) start(kind, detail byte) {
	if len(h.cancels) == 30 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	limit := time.Duration(0)
	if detail&1 != 0 {
		limit = hostilePauses[detail>>1&7]
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	h.cancels = append(h.cancels, cancel)
	name := fmt.Sprint("call ", h.watch.started)
	switch kind {
	case 0:
		h.watch.run("a call", limit, func() { h.call(ctx, name) })
	case 1:
		h.watch.run("a stream both ways", limit, func() { h.stream(ctx, bidi, detail>>4) })
	case 2:
		h.watch.run("a stream from the server", limit, func() { h.stream(ctx, fromServer, 0) })
	case 3:
		h.watch.run("a stream to the server", limit, func() { h.stream(ctx, fromClient, detail>>4) })
	}
}

func (h *hostileClient) call(ctx context.Context, name string) {
	var resp KeyValue
	if err := h.c.Call(ctx, testService, "Echo", text(name), &resp); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.Canceled) {
			h.t.Errorf("%s: got %v before the end of its context", name, err)
		}
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.results[name] = resp.Value
}

// stream sends some messages while it receives to the end.
func (h *hostileClient) stream(ctx context.Context, desc *StreamDesc, messages byte) {
	var first any
	if !desc.StreamingClient {
		first = text("the only one")
	}
	cs, err := h.c.NewStream(ctx, desc, testService, "EchoStream", first)
	if err != nil {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := byte(0); desc.StreamingClient && i < messages; i++ {
			if cs.SendMsg(text("to the server")) != nil {
				break
			}
		}
		cs.CloseSend()
	}()
	order := rising{}
	for pause := time.Duration(messages%4) * 400 * time.Millisecond; ; {
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil && ctx.Err() == nil && !h.goesOn(cs) {
			break
		} else if err == nil && m.Value != "" && m.Value != "no message" {
			if err := order.check(m.Value, cs.(*clientStream).id); err != nil {
				h.t.Error(err)
			}
		} else if ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	<-sent
}

// goesOn reports whether an error of a stream concerned only one message: the stream is
// running, or more messages wait.
func (h *hostileClient) goesOn(cs ClientStream) bool {
	st := &cs.(*clientStream).stream
	if h.c.conn.lookup(st.id) == entry(st) {
		return true
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.inbox.size > 0
}

// check checks that each entry of the table belongs to a running call or stream.
func (h *hostileClient) check() {
	running := h.watch.left()
	if streams, _ := tableOf(h.c.conn); streams > running {
		h.t.Errorf("%d streams in the table, and %d calls and streams run", streams, running)
	}
}

// finish makes the server send the rest and read everything. The connection stays alive,
// unless an earlier step has ended it.
func (h *hostileClient) finish() {
	h.p.send(len(h.p.pending))
	h.p.readOn(3 * time.Minute)
	h.check()
	h.p.aligned()
	ended := h.p.near.ended()
	if ended && !h.closed && !h.p.closed && !h.p.lied {
		h.t.Error("the client has closed the connection for no reason")
	}
}

// checkOutput checks the frames of the client, and the results of its calls: each call has
// a different response, which was sent on the id of the call.
func (h *hostileClient) checkOutput() {
	ids, err := checkClientOutput(h.p.output)
	if err != nil {
		h.t.Error(err)
	}
	sent := make(map[string]streamID)
	for _, f := range splitFrames(h.p.sent, hostileLimits.MaxMessageLength) {
		var resp Response
		var m KeyValue
		if f.h.typ == messageTypeResponse && proto.Unmarshal(f.body, &resp) == nil && proto.Unmarshal(resp.Payload, &m) == nil {
			sent[m.Value] = f.h.id
		}
	}
	got := make(map[string]bool)
	for name, value := range h.results {
		id, ok := ids[name]
		if value == "" || !ok {
			continue // a response of no bytes, or to a request that nobody read
		}
		if sent[value] != id {
			h.t.Errorf("%s on stream %d got %q, which was sent on stream %d", name, id, value, sent[value])
		}
		if got[value] {
			h.t.Errorf("%q was delivered twice", value)
		}
		got[value] = true
	}
}
