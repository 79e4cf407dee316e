//go:build go1.25

package ttrpc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// The server reads no more while too many of its replies to refused frames wait:
// they take a bounded amount of memory, and a peer that reads none of them for
// replyTimeout loses its connection.
func TestServerRepliesUnread(t *testing.T) {
	for name, bad := range map[string]rawFrame{
		"even id":        {id: 2, typ: messageTypeRequest},
		"unknown method": request(1, "NoMethod", 0, nil),
		"no stream":      data(1<<32-1, 0, nil),
	} {
		bad := bad
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newServerTest(t, WithServerLogger(&testLogger{}))
				near, far := memPipe(1000)
				st.l.hand(far)
				if bad.typ == messageTypeData {
					bad.id = 1
				}
				b := bad.encode()
				start := time.Now()
				sent := 0
				for ; sent < 1<<20; sent++ {
					if _, err := near.Write(b); err != nil {
						break
					}
					if bad.typ == messageTypeData {
						bad.id += 2
						b = bad.encode()
					}
				}
				near.Close()
				reply := len(failure(1, codes.InvalidArgument, "no stream 1").encode())
				if sent*reply > 4*replyLimit {
					t.Errorf("the server took %d bad frames before it closed the connection", sent)
				}
				// Twice as long when the last write of all ends as the wait begins.
				if d := time.Since(start); d < replyTimeout-tick || d > 2*replyTimeout+tick {
					t.Errorf("the connection is closed after %v, want %v", d, replyTimeout)
				}
			})
		})
	}
}

// A peer that reads no replies and goes away is gone at once: a goroutine that waits for
// them to be written hears that they cannot be.
func TestServerRepliesUnwritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t, WithServerLogger(&testLogger{}))
		near, far := memPipe(1000)
		st.l.hand(far)
		sent := goErr(func() error {
			b := request(1, "NoMethod", 0, nil).encode()
			for {
				if _, err := near.Write(b); err != nil {
					return err
				}
			}
		})
		synctest.Wait()
		start := time.Now()
		near.Close()
		<-sent
		waitFor(t, "the connection's end", func() bool {
			st.server.mu.Lock()
			defer st.server.mu.Unlock()
			return len(st.server.conns) == 0
		})
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("the connection is over after %v", d)
		}
	})
}

// A peer that reads slowly, but all the time, keeps its connection, with any frames
// that it sends.
func TestServerRepliesReadSlowly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t, WithServerLogger(&testLogger{}))
		near, far := memPipe(1000)
		st.l.hand(far)
		const limit = time.Minute
		over := make(chan time.Duration, 1)
		start := time.Now()
		go func() { // 40 kB a second
			buf := make([]byte, 1000)
			for {
				if _, err := near.Read(buf); err != nil {
					over <- time.Since(start)
					return
				}
				time.Sleep(25 * time.Millisecond)
			}
		}()
		id := streamID(1)
		for i := 0; i < 60; i++ { // responses of a megabyte in all
			near.Write(request(id, "Echo", 0, text(strings.Repeat("x", 16000))).encode())
			id += 2
		}
		for i := 0; i < 2000; i++ { // and refused frames
			if _, err := near.Write(request(id, "NoMethod", 0, nil).encode()); err != nil {
				break
			}
			id += 2
		}
		time.Sleep(limit)
		near.Close()
		if took := <-over; took < limit {
			t.Errorf("the connection was closed after %v", took)
		}
	})
}

// Handlers wait for a peer that does not read; the write queue is
// bounded, and the end of the connection ends them all.
func TestServerResponsesUnread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t, WithServerLimits(Limits{MaxPendingWrite: 10 << 10}))
		near, far := memPipe(1000)
		st.l.hand(far)
		var frames []byte
		const calls = 100
		for i := 0; i < calls; i++ {
			frames = append(frames, request(streamID(2*i+1), "Echo", 0, text(strings.Repeat("x", 1000))).encode()...)
		}
		go near.Write(frames)
		time.Sleep(time.Second)
		var sc *serverConn
		st.server.mu.Lock()
		for sc = range st.server.conns {
		}
		st.server.mu.Unlock()
		if n, _ := sc.conn.ch.w.room.load(); n > 12<<10 {
			t.Errorf("%d bytes wait to be written, over a limit of 10 KiB and a message", n)
		}
		near.Close()
		synctest.Wait()
		if n := sc.running.Load(); n != 0 {
			t.Errorf("%d handlers still run", n)
		}
	})
}
