package address

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/containerd/ttrpc/internal/sockaddr"
	"github.com/mdlayher/vsock"
)

// dialVsock leaves the connecting to a goroutine, since the package has no context. The
// goroutine ends when the kernel gives up, after two seconds by default.
func dialVsock(ctx context.Context, addr string) (net.Conn, error) {
	cid, port, err := splitVsock(addr)
	if err != nil {
		return nil, err
	}
	type result struct {
		conn *vsock.Conn
		err  error
	}
	done := make(chan result, 1) // sent by the goroutine, once
	go func() {
		conn, err := vsock.Dial(cid, port, nil)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("ttrpc: cannot connect to vsock://%s: %w", addr, r.err)
		}
		return r.conn, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("ttrpc: cannot connect to vsock://%s: %w", addr, ctx.Err())
	}
}

// listenVsock listens on a port of this machine, with any number of the context.
func listenVsock(addr string) (net.Listener, error) {
	_, port, err := splitVsock(addr)
	if err != nil {
		return nil, err
	}
	l, err := vsock.Listen(port, nil)
	if err != nil {
		return nil, fmt.Errorf("ttrpc: cannot listen on vsock://%s: %w", addr, err)
	}
	return l, nil
}

// handshakeTime limits the hypervisor's answer, unless the context ends earlier.
const handshakeTime = 10 * time.Second

// splitHybrid splits "/path:port".
func splitHybrid(addr string) (path string, port uint32, err error) {
	i := strings.LastIndexByte(addr, ':')
	if i > 0 {
		port, err = parsePort(addr[i+1:])
	}
	if i <= 0 || err != nil {
		return "", 0, syntaxErrorf("hvsock://%s: /PATH:PORT is needed", addr)
	}
	return addr[:i], port, nil
}

// dialHybrid connects to a port of a virtual machine through the unix socket of its
// hypervisor, which wants one line and answers one.
func dialHybrid(ctx context.Context, addr string) (_ net.Conn, err error) {
	path, port, err := splitHybrid(addr)
	if err != nil {
		return nil, err
	}
	conn, err := sockaddr.Dial(ctx, "unix://"+path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
			err = fmt.Errorf("ttrpc: cannot connect to hvsock://%s: %w", addr, err)
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, err
	}
	// The end of ctx interrupts the handshake.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	if err := connectHybrid(conn, port); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return conn, conn.SetDeadline(time.Time{})
}

// maxAnswer limits the line that the hypervisor answers.
const maxAnswer = 64

// connectHybrid takes the answer byte by byte: those after the line are ttrpc's.
func connectHybrid(conn net.Conn, port uint32) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return fmt.Errorf("the hypervisor took no request: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(oneByte{conn}, maxAnswer)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the hypervisor closed or did not answer, as when nothing listens on port %d of the machine: %w", port, err)
	}
	if !strings.HasPrefix(line, "OK") {
		return fmt.Errorf("the hypervisor refused: %q", line)
	}
	return nil
}

// oneByte reads one byte at a time.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:min(len(p), 1)]) }
