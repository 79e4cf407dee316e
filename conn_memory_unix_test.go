//go:build unix

package ttrpc

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// connectionCost returns the largest cost of one connection of a server with the default
// limits and n calls, in bytes: doc.go, "Limits".
func connectionCost(n int64) int64 {
	const m, w, s, d = 4 << 20, 1 << 20, 4 << 20, 1 << 20
	return n*(s+3*m+d*5/4+16<<10) + 2*w + 2*m + 1<<20
}

// A peer that tries to cost memory costs no more than the documentation says, and the worst
// case comes close to that bound.
func TestHostileConnectionMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const calls = 4
	const longest = 4 << 20
	big := &KeyValue{Value: strings.Repeat("b", longest-100)}
	desc := echoMethods()
	// A handler that receives nothing, and sends messages that nobody reads.
	desc.Streams["Flood"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		for i := 0; i < 10; i++ {
			if err := ss.SendMsg(big); err != nil {
				return nil, err
			}
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	sc, theirs := servedPair(t, desc, WithServerMaxCalls(calls))
	w := newWire(theirs)
	payload := make([]byte, 1<<24-1)
	metadata := &Request{Service: testService, Method: "Flood"}
	for i := 0; i < 1<<20/(5+metadataOverhead); i++ {
		metadata.Metadata = append(metadata.Metadata, &KeyValue{Key: fmt.Sprintf("%05x", i)})
	}
	begin := mustMarshal(metadata)

	figure := connectionCost(calls)
	before := heapInUse()
	var peak int64
	measure := func() {
		t.Helper()
		for i := 0; i < 5; i++ {
			peak = max(peak, heapInUse()-before)
			time.Sleep(2 * time.Millisecond) // the last bytes are read by now
		}
		if peak > figure {
			t.Fatalf("%d bytes of heap, %d at most", peak, figure)
		}
	}
	inboxes := func(size int) func() bool {
		return func() bool {
			sc.conn.mu.Lock()
			defer sc.conn.mu.Unlock()
			for _, e := range sc.conn.streams {
				st := e.(*stream)
				st.mu.Lock()
				full := st.inbox.size >= size
				st.mu.Unlock()
				if !full {
					return false
				}
			}
			return true
		}
	}

	// Calls with as much metadata as there may be; and more calls than there may be,
	// with long messages and too long ones.
	for i := streamID(0); i < calls; i++ {
		w.write(header{id: 2*i + 1, typ: messageTypeRequest, flags: flagRemoteOpen | flagNoData}, begin)
	}
	waitFor(t, "the handlers", func() bool { return sc.running.Load() == calls })
	block := mustMarshal(&Request{Service: testService, Method: "Block", Payload: payload[:longest-100]})
	for i := streamID(0); i < 3*calls; i++ {
		w.write(header{id: 2*i + 101, typ: messageTypeRequest}, block)
	}
	block = nil
	w.write(header{id: 201, typ: messageTypeRequest}, payload)

	// Inboxes that are not quite full, so that the longest message is let in, and one
	// that is the stream's last. One stream has yet to end.
	for i := streamID(0); i < calls; i++ {
		for j := 0; j < 15; j++ {
			w.write(header{id: 2*i + 1, typ: messageTypeData}, payload[:256<<10])
		}
		w.write(header{id: 2*i + 1, typ: messageTypeData}, payload[:longest])
		if i > 0 {
			w.write(header{id: 2*i + 1, typ: messageTypeData, flags: flagRemoteClosed}, payload[:longest])
		}
	}
	waitFor(t, "full inboxes", inboxes(7<<20))
	measure()
	t.Logf("%d MiB of heap for %d calls, %d MiB at most", peak>>20, calls, figure>>20)
	if peak < figure*3/4 {
		t.Errorf("the worst there is takes %d bytes of heap: the figure of %d says too much", peak, figure)
	}

	// More than fits on one of them, which ends it, and then a frame that has begun.
	for i := 0; i < 8; i++ {
		w.write(header{id: 1, typ: messageTypeData}, payload[:longest])
		measure()
	}
	waitFor(t, "the end of the full stream", func() bool { return tableSize(sc.conn) == calls-1 })
	partial := make([]byte, headerLength+longest/2)
	putHeader(partial, header{length: longest, id: 3, typ: messageTypeData})
	w.Write(partial)
	partial = nil
	measure()
	w.Close()
	waitFor(t, "the end of the handlers", func() bool { return sc.running.Load() == 0 })
	waitFor(t, "the memory", func() bool { return heapInUse()-before < 1<<20 })
	runtime.KeepAlive(payload)
}
