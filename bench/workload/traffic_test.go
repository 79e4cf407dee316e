package workload

import (
	"context"
	"sync"
	"testing"
	"time"
)

// fakeConn notes the calls and messages that it is given, and answers at once.
type fakeConn struct {
	mu  sync.Mutex
	log []string
}

func (c *fakeConn) note(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, s)
}

// counts returns how often each was noted.
func (c *fakeConn) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := make(map[string]int)
	for _, s := range c.log {
		n[s]++
	}
	return n
}

func (c *fakeConn) Unary(method Method, payload []byte) Call {
	name := string(method)
	if method == Block && DecodeCount(payload) > 0 {
		name += " for long"
	}
	return func(context.Context) ([]byte, error) { c.note(name); return payload, nil }
}

func (c *fakeConn) Stream(_ context.Context, kind StreamKind, payload []byte) (Stream, error) {
	return &fakeStream{c, string(kind), payload}, nil
}

func (c *fakeConn) Close() error { return nil }

type fakeStream struct {
	c       *fakeConn
	kind    string
	payload []byte
}

func (s *fakeStream) Send() error           { s.c.note(s.kind + " send"); return nil }
func (s *fakeStream) Recv() ([]byte, error) { s.c.note(s.kind + " recv"); return s.payload, nil }
func (s *fakeStream) CloseSend() error      { return nil }

// repeatFor does an operation n times, and leaves out the work of newOperation.
func repeatFor(t *testing.T, c Case, n int) (*fakeConn, *histogram) {
	t.Helper()
	conn := new(fakeConn)
	op, err := newOperation(c, conn, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	conn.log = nil
	h := new(histogram)
	for range n {
		if err := op.repeat(context.Background(), h, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	return conn, h
}

func TestMixedIsSlowNowAndThen(t *testing.T) {
	conn, _ := repeatFor(t, Case{Kind: Mixed, SlowIn: 10, Work: time.Second}, 2000)
	got := conn.counts()
	if slow := got["Block for long"]; slow < 150 || slow > 250 || slow+got["Block"] != 2000 {
		t.Errorf("%v, want one in 10 of 2000 for long", got)
	}
}

func TestBehindMeasuresTheCallBehind(t *testing.T) {
	conn, h := repeatFor(t, Case{Kind: Behind, Size: 8, Work: time.Second}, 3)
	got := conn.counts()
	// The last sleeper may not have begun.
	if got["Block"] != 3*quickBefore || got["Echo"] != 3 || got["Block for long"] < 2 || h.n != 3 {
		t.Errorf("%v, %d measured; want 3 calls measured, and %d quick ones and a long one before each", got, h.n, quickBefore)
	}
}

func TestAwayMeasuresTheCallInBetween(t *testing.T) {
	conn, h := repeatFor(t, Case{Kind: Away, Size: 8}, 2)
	got := conn.counts()
	if got["Echo"] != 2 || got["AwayStream send"] != 2*awayEvery || got["AwayStream recv"] != 2*awayEvery-1 || h.n != 2 {
		t.Errorf("%v, %d measured; want 2 calls measured, each behind %d messages of which the last has no reply yet", got, h.n, awayEvery)
	}
}

func TestPaceMeasuresCallsAlone(t *testing.T) {
	const every, n = 5 * time.Millisecond, 5
	start := time.Now()
	_, h := repeatFor(t, Case{Kind: Unary, Size: 8, Every: every}, n)
	if took := time.Since(start); took < (n-1)*every {
		t.Errorf("%d calls in %v, want one every %v", n, took, every)
	}
	if got := time.Duration(h.quantile(0.5)); got > every/2 {
		t.Errorf("half of the calls took %v: the pause was measured", got)
	}
}
