package main

import (
	"math/rand"
	"net"
	"time"
)

// The attacks on a client.

// clientDetails answers with a status of empty details, as many as there is room for.
func clientDetails(a *attacker) {
	status := append(number(1, 5), repeated(field(3, nil), maxLength/2-20)...)
	answer := field(1, status)
	a.answering(func(id uint32) []byte { return frame(id, typeResponse, 0, answer) })
}

func clientDescriptors(a *attacker) {
	go a.serve(func(conn *net.UnixConn) {
		for {
			id, _, err := readFrame(conn)
			if err != nil || !a.sendLingering(conn, response(id, nil)) {
				conn.Close()
				return
			}
		}
	})
}

func clientGarbage(a *attacker) {
	a.answering(func(id uint32) []byte {
		b := make([]byte, 8<<10)
		rand.New(rand.NewSource(int64(id))).Read(b)
		b[0] = 0
		return b
	})
}

func clientClaims(a *attacker) {
	a.answering(func(id uint32) []byte { return header(maxLength, id, typeResponse, 0) })
}

func clientSlow(a *attacker) {
	go a.serve(func(conn *net.UnixConn) {
		for {
			id, _, err := readFrame(conn)
			if err != nil {
				return
			}
			for _, b := range response(id, bytesOf(100)) {
				if !send(conn, []byte{b}) {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
}

func clientUnknownIDs(a *attacker) {
	a.answering(func(id uint32) []byte {
		return repeated(response(id+100_001, bytesOf(1000)), 200)
	})
}

func clientWrong(a *attacker) {
	kinds := [][]byte{{typeData, 0}, {typeRequest, 0}, {77, 0}, {typeResponse, 0xff}, {typeData, remoteClosed}, {typeData, noData}}
	n := uint32(0)
	a.answering(func(id uint32) []byte {
		n++
		kind := kinds[n/2%uint32(len(kinds))]
		return repeated(frame(id+n%2, kind[0], kind[1], []byte{0xff, 0xff}), 20)
	})
}

func clientOversized(a *attacker) {
	big := make([]byte, 5<<20)
	a.answering(func(id uint32) []byte { return frame(id, typeResponse, 0, big) })
}

func clientStream(a *attacker) {
	big := bytesOf(32 << 10)
	a.answering(func(id uint32) []byte { return repeated(frame(id, typeData, 0, big), 300) })
}

func clientSilent(a *attacker) { go a.serve(func(*net.UnixConn) {}) }

func clientClose(a *attacker) {
	go a.serve(func(conn *net.UnixConn) {
		if id, _, err := readFrame(conn); err == nil {
			b := response(id, bytesOf(50_000))
			send(conn, b[:len(b)/2])
		}
		conn.Close()
	})
}
