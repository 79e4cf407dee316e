package main

import (
	"fmt"
	"io"
	"net"
	"sort"
	"sync"
	"time"
)

// An innocent makes calls to a server over a connection of its own, one each two
// milliseconds, from its start to its end.
type innocent struct {
	conn    net.Conn
	stop    chan struct{}
	stopped chan struct{}

	mu    sync.Mutex
	times []time.Duration
	began time.Time // of the call that runs; zero without one
	err   error
}

// startInnocent waits for the first answer.
func startInnocent(socket string) (*innocent, error) {
	conn, err := net.DialTimeout("unix", socket, answerLimit)
	if err != nil {
		return nil, err
	}
	in := &innocent{conn: conn, stop: make(chan struct{}), stopped: make(chan struct{})}
	if err := rawEcho(conn, 1); err != nil {
		conn.Close()
		return nil, err
	}
	go in.run()
	return in, nil
}

func (in *innocent) run() {
	defer close(in.stopped)
	for id := uint32(3); ; id += 2 {
		in.mu.Lock()
		in.began = time.Now()
		in.mu.Unlock()
		err := rawEcho(in.conn, id)
		in.mu.Lock()
		in.times = append(in.times, time.Since(in.began))
		in.began = time.Time{}
		in.err = err
		in.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-in.stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// end returns the p99, to which a call that has no answer yet counts. The error is
// that of a call.
func (in *innocent) end() (time.Duration, error) {
	in.mu.Lock()
	if !in.began.IsZero() {
		in.times = append(in.times, time.Since(in.began))
	}
	times, err := append([]time.Duration(nil), in.times...), in.err
	in.mu.Unlock()
	close(in.stop)
	in.conn.Close()
	<-in.stopped
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	if len(times) < 100 {
		return times[len(times)-1], err // of few, the slowest
	}
	return times[len(times)*99/100], err
}

// rawEcho makes a call and waits for its response.
func rawEcho(conn net.Conn, id uint32) error {
	if _, err := conn.Write(unary(id, "Echo", bytesOf(20))); err != nil {
		return err
	}
	got, typ, err := readFrame(conn)
	if err == nil && (got != id || typ != typeResponse) {
		err = fmt.Errorf("a call on stream %d was answered on stream %d by type %d", id, got, typ)
	}
	return err
}

// serveHonest is the server of the innocent calls of a client under attack.
func serveHonest(socket string) (io.Closer, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	go func() { // until l is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // until the victim ends
				defer conn.Close()
				for {
					id, _, err := readFrame(conn)
					if err != nil || !send(conn, response(id, bytesOf(20))) {
						return
					}
				}
			}()
		}
	}()
	return l, nil
}
