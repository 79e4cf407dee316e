package workload

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settle is how long connections rest before memory is read, so that the work of a
// peer in the background is over.
const settle = 300 * time.Millisecond

// runIdle reads the memory of both processes at several counts of connections,
// calls or streams that rest.
func runIdle(p Peer, addr string, c Case, ctl *control) (Result, error) {
	if err := touch(p, addr, c, makePayload(c.Size)); err != nil {
		return Result{}, err
	}
	grow := holder{peer: p, addr: addr, c: c, ctl: ctl, failed: make(chan error, 1)}
	defer grow.close()
	var res Result
	for _, n := range idlePoints(c.Held()) {
		if err := grow.to(n); err != nil {
			return res, err
		}
		point, err := readIdle(n, ctl)
		if err != nil {
			return res, err
		}
		res.Idle = append(res.Idle, point)
	}
	return res, nil
}

// touch opens and closes some connections with a call each, because the first ones
// make allocations that later ones share.
func touch(p Peer, addr string, c Case, payload []byte) error {
	for range 20 {
		conn, err := p.Dial(addr, c.Options)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		_, err = conn.Unary(Echo, payload)(context.Background())
		conn.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// idlePoints are one connection and up to four steps to n of them.
func idlePoints(n int) []int {
	return []int{1, n / 4, n / 2, n * 3 / 4, n}
}

// holder holds connections, or calls or streams on a single one. One goroutine
// uses it.
type holder struct {
	peer Peer
	addr string
	c    Case
	ctl  *control

	conns   []Conn
	streams []Stream
	calls   int
	failed  chan error // the first failure of a held call
}

// to returns when the holder holds n calls or streams.
func (h *holder) to(n int) error {
	switch h.c.Kind {
	case HeldCalls:
		return h.holdCalls(n)
	case HeldStreams:
		return h.holdStreams(n)
	}
	return h.dial(n)
}

// dial opens connections with a call each.
func (h *holder) dial(n int) error {
	payload := makePayload(h.c.Size)
	for len(h.conns) < n {
		conn, err := h.peer.Dial(h.addr, h.c.Options)
		if err != nil {
			return fmt.Errorf("dial connection %d: %w", len(h.conns), err)
		}
		h.conns = append(h.conns, conn)
		got, err := conn.Unary(Echo, payload)(context.Background())
		if err := checkLen(got, len(payload), err); err != nil {
			return fmt.Errorf("call on connection %d: %w", len(h.conns), err)
		}
	}
	return nil
}

// holdCalls begins calls that stay in their handlers, and waits for all of these.
func (h *holder) holdCalls(n int) error {
	if err := h.dial(1); err != nil {
		return err
	}
	payload := makePayload(h.c.Size)
	for ; h.calls < n; h.calls++ {
		call := h.conns[0].Unary(Hold, payload)
		go func() {
			_, err := call(context.Background())
			select {
			case h.failed <- err:
			default:
			}
		}()
	}
	for {
		rep, err := h.ctl.ask(holding)
		if err != nil || rep.Held == n {
			return err
		}
		select {
		case err := <-h.failed:
			var unsupported *UnsupportedError
			if errors.As(err, &unsupported) {
				return err
			}
			return fmt.Errorf("a held call ended: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// holdStreams opens streams, with one message to and fro on each.
func (h *holder) holdStreams(n int) error {
	if err := h.dial(1); err != nil {
		return err
	}
	payload := makePayload(h.c.Size)
	for len(h.streams) < n {
		st, err := h.conns[0].Stream(context.Background(), BidiStream, payload)
		if err != nil {
			return err
		}
		h.streams = append(h.streams, st)
		if err := streamRound(st, h.c.Size); err != nil {
			return fmt.Errorf("message on stream %d: %w", len(h.streams), err)
		}
	}
	return nil
}

func (h *holder) close() {
	for _, conn := range h.conns {
		conn.Close()
	}
}

func readIdle(n int, ctl *control) (IdlePoint, error) {
	time.Sleep(settle)
	rep, err := ctl.ask(memory)
	if err != nil {
		return IdlePoint{}, err
	}
	mine, err := readMemory()
	return IdlePoint{
		Conns:            n,
		ServerRSS:        rep.Memory.RSS,
		ClientRSS:        mine.RSS,
		ServerGoroutines: rep.Memory.Goroutines,
		ClientGoroutines: mine.Goroutines,
	}, err
}
