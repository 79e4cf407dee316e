package workload

import (
	"context"
	"fmt"
	"time"
)

// settle is how long connections rest before memory is read, for what a peer
// does in the background after a call.
const settle = 300 * time.Millisecond

// runIdle opens connections, has one call on each, and reads the memory of both
// processes at several counts.
func runIdle(p Peer, addr string, c Case, ctl *control) (Result, error) {
	var conns []Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	payload := makePayload(c.Size)
	if err := touch(p, addr, c, payload); err != nil {
		return Result{}, err
	}
	var res Result
	for _, n := range idlePoints(c.Conns) {
		for len(conns) < n {
			conn, err := p.Dial(addr, c.Options)
			if err != nil {
				return res, fmt.Errorf("dial connection %d: %w", len(conns), err)
			}
			conns = append(conns, conn)
			got, err := conn.Unary(Echo, payload)(context.Background())
			if err := checkLen(got, len(payload), err); err != nil {
				return res, fmt.Errorf("call on connection %d: %w", len(conns), err)
			}
		}
		point, err := readIdle(n, ctl)
		if err != nil {
			return res, err
		}
		res.Idle = append(res.Idle, point)
	}
	return res, nil
}

// touch opens and closes some connections with a call each, for what the first
// ones allocate once and for all.
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
