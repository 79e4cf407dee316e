package main

import (
	"bytes"
	"io"
	"math/rand"
	"net"
	"time"
)

// The attacks on a server.

// reconnect makes 4 calls of 1 MiB on each connection and closes it when they have
// arrived, which an answer to one more tells.
func reconnect(method string) func(*attacker) {
	return func(a *attacker) {
		big := bytesOf(1<<20 - 100)
		for i := 0; i < a.some(100) && a.going(); i++ {
			conn := a.dial()
			if conn == nil {
				return
			}
			for id := uint32(1); id < 9; id += 2 {
				send(conn, unary(id, method, big))
			}
			send(conn, unary(9, "Echo", nil))
			conn.SetReadDeadline(a.until)
			readFrame(conn)
			conn.Close()
		}
	}
}

// logFlood calls a method that panics with its request, which looks like a line of the
// log and has escape sequences.
func logFlood(method string, size int) func(*attacker) {
	return func(a *attacker) {
		text := append([]byte("(\n2026/01/01 00:00:00 ttrpc: a line that was forged \x1b[31m"), bytes.Repeat([]byte("x("), size/2)...)
		a.again(true, func(id uint32) []byte {
			time.Sleep(time.Millisecond)
			return unary(id, method, field(1, text))
		})
	}
}

func logProtocol(a *attacker) {
	for a.going() {
		if conn := a.dial(); conn != nil {
			send(conn, bytes.Repeat([]byte{0xff}, headerLength))
			conn.Close()
		}
	}
}

func claims(a *attacker) {
	a.each(1000, false, func(conn *net.UnixConn) { send(conn, header(maxLength, 1, typeRequest, 0)) })
}

func claimsBegun(a *attacker) {
	a.each(200, false, func(conn *net.UnixConn) {
		send(conn, append(header(maxLength, 1, typeRequest, 0), make([]byte, 64<<10)...))
	})
}

func unreadResponses(a *attacker) {
	a.each(20, false, func(conn *net.UnixConn) {
		for id := uint32(1); id < 80 && a.going() && send(conn, unary(id, "Big", nil)); id += 2 {
		}
	})
}

func unreadRefusals(a *attacker) {
	a.each(20, false, func(conn *net.UnixConn) {
		for a.going() && send(conn, repeated(frame(2, typeData, 0, nil), 1000)) {
		}
	})
}

func shutRead(a *attacker) {
	a.each(1000, false, func(conn *net.UnixConn) {
		conn.CloseRead()
		for id := uint32(1); id < 9 && a.going() && send(conn, unary(id, "Echo", bytesOf(100))); id += 2 {
		}
	})
}

func connections(a *attacker) { a.each(4000, false, func(*net.UnixConn) {}) }

func connectClose(a *attacker) {
	for a.going() {
		if conn := a.dial(); conn != nil {
			conn.Close()
		}
	}
}

func slowHeader(a *attacker) {
	a.each(200, false, func(conn *net.UnixConn) {
		for i := 0; a.going() && send(conn, header(8, 1, typeRequest, 0)[i%headerLength:][:1]); i++ {
			time.Sleep(50 * time.Millisecond)
		}
	})
}

func halfFrames(a *attacker) {
	a.each(200, false, func(conn *net.UnixConn) {
		send(conn, append(header(64<<10, 1, typeRequest, 0), make([]byte, 32<<10)...))
	})
}

func garbage(a *attacker) {
	a.again(true, func(i uint32) []byte {
		b := make([]byte, 8<<10)
		rand.New(rand.NewSource(int64(i))).Read(b)
		b[0] = 0 // else the first header ends the connection
		return b
	})
}

func unknownTypes(a *attacker) {
	a.again(true, func(i uint32) []byte {
		return repeated(frame(i, byte(4+i%250), byte(i), make([]byte, 1000)), 50)
	})
}

func badIDs(a *attacker) {
	a.again(true, func(i uint32) []byte {
		return append(repeated(unary(0, "Echo", bytesOf(10)), 20), repeated(unary(i+1, "Echo", bytesOf(10)), 20)...)
	})
}

func idInUse(a *attacker) {
	a.again(true, func(uint32) []byte { return repeated(unary(1, "Block", bytesOf(10)), 50) })
}

func callFlood(a *attacker) {
	a.each(1, true, func(conn *net.UnixConn) {
		for id := uint32(1); int(id) < 2*a.some(20000) && a.going() && send(conn, unary(id, "Block", bytesOf(100))); id += 2 {
		}
	})
}

func streamFlood(a *attacker) {
	a.each(1, true, func(conn *net.UnixConn) {
		for id := uint32(1); int(id) < 2*a.some(20000) && a.going(); id += 2 {
			if !send(conn, request(id, remoteOpen, "Hoard", bytesOf(100))) {
				return
			}
		}
	})
}

// unread opens streams that nobody takes from, and sends on them.
func unread(a *attacker, message []byte) {
	a.each(10, true, func(conn *net.UnixConn) {
		for id := uint32(1); a.going(); id += 2 {
			if !send(conn, request(id, remoteOpen, "Hoard", nil)) {
				return
			}
			batch := repeated(frame(id, typeData, 0, message), max(1, 100_000/(len(message)+headerLength)))
			for sent := 0; sent < 4<<20 && a.going() && send(conn, batch); sent += len(batch) {
			}
		}
	})
}

func unreadStream(a *attacker) { unread(a, bytesOf(16<<10)) }

func emptyMessages(a *attacker) { unread(a, nil) }

func neverRead(a *attacker) {
	a.each(20, false, func(conn *net.UnixConn) { send(conn, request(1, remoteClosed, "Flood", nil)) })
}

func oversized(a *attacker) {
	big := make([]byte, 5<<20)
	a.again(true, func(id uint32) []byte { return frame(id, []byte{typeRequest, typeData}[id/2%2], remoteOpen, big) })
}

func longNames(a *attacker) {
	name := bytes.Repeat([]byte("n"), maxLength-100)
	a.again(true, func(id uint32) []byte {
		if id%4 == 1 {
			return frame(id, typeRequest, 0, append(field(1, name), field(2, []byte("Echo"))...))
		}
		return frame(id, typeRequest, 0, append(field(1, []byte(service)), field(2, name)...))
	})
}

func metadata(a *attacker) {
	pairs := repeated(field(5, append(field(1, []byte("k")), field(2, []byte("v"))...)), 1<<18)
	empty := repeated(field(5, nil), 1<<20)
	a.again(true, func(id uint32) []byte {
		if id%4 == 1 {
			return unary(id, "Echo", nil, pairs)
		}
		return unary(id, "Echo", nil, empty)
	})
}

func nesting(a *attacker) {
	deep := nested(maxLength - 200)
	a.again(true, func(id uint32) []byte { return unary(id, "Nested", deep) })
}

func timeouts(a *attacker) {
	values := []uint64{1<<64 - 1, 1 << 63, 1<<63 - 1, 1, 1000, 10_000_000, uint64(time.Hour)}
	a.each(1, true, func(conn *net.UnixConn) {
		for id := uint32(1); int(id) < 2*a.some(20000) && a.going(); id += 2 {
			if !send(conn, unary(id, "Block", bytesOf(10), number(4, values[int(id/2)%len(values)]))) {
				return
			}
		}
	})
}

func closeMidway(a *attacker) {
	call := append(unary(1, "Big", nil), unary(3, "Echo", bytesOf(50_000))...)
	for i := 0; a.going(); i++ {
		if conn := a.dial(); conn != nil {
			send(conn, call[:len(call)-i%40_000])
			conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // a safe server refuses Big in few bytes
			io.CopyN(io.Discard, conn, int64(i%3*1000))
			conn.Close()
		}
	}
}
