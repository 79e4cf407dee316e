package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// An attacker is the process that attacks: this program, started again by the driver.
// It goes on until a time, then says so and holds its connections until standard input
// ends. It knows nothing of any library.
type attacker struct {
	socket string
	until  time.Time
	short  bool

	mu   sync.Mutex
	held []io.Closer // which the garbage collector would close otherwise
}

// runAttacker is the attacker's main function: attack NAME SOCKET DURATION SHORT.
func runAttacker(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("attack wants 4 arguments, and got %q", args)
	}
	lasts, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	short, err := strconv.ParseBool(args[3])
	if err != nil {
		return err
	}
	a := &attacker{socket: args[1], until: time.Now().Add(lasts), short: short}
	attack := findAttack(args[0])
	if attack == nil {
		return fmt.Errorf("there is no attack %s", args[0])
	}
	go func() {
		attack.run(a)
		a.rest()
		fmt.Println("done")
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// some is n, and fewer in a short run.
func (a *attacker) some(n int) int {
	if a.short {
		return (n + 3) / 4
	}
	return n
}

func (a *attacker) going() bool { return time.Now().Before(a.until) }

// rest waits for the end of the attack.
func (a *attacker) rest() { time.Sleep(time.Until(a.until)) }

func (a *attacker) hold(c io.Closer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = append(a.held, c)
}

// dial connects, or returns nil when the victim takes no connection in this time.
func (a *attacker) dial() *net.UnixConn {
	d := net.Dialer{Deadline: a.until}
	conn, err := d.Dial("unix", a.socket)
	if err != nil {
		return nil
	}
	a.hold(conn)
	conn.SetWriteDeadline(a.until) // even if the victim reads nothing
	return conn.(*net.UnixConn)
}

// each has n connections do f beside each other, and reads all that comes on them if
// reads is true.
func (a *attacker) each(n int, reads bool, f func(*net.UnixConn)) {
	var wg sync.WaitGroup
	for i := 0; i < n && a.going(); i++ {
		conn := a.dial()
		if conn == nil {
			continue
		}
		if reads {
			go io.Copy(io.Discard, conn)
		}
		wg.Add(1)
		go func() { defer wg.Done(); f(conn) }()
	}
	wg.Wait()
}

// send reports whether the victim took all of b.
func send(conn net.Conn, b []byte) bool {
	_, err := conn.Write(b)
	return err == nil
}

// again sends the frames of next until the end, on one connection after another when the
// victim closes them.
func (a *attacker) again(reads bool, next func(i uint32) []byte) {
	for i := uint32(1); a.going(); {
		conn := a.dial()
		if conn == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if reads {
			go io.Copy(io.Discard, conn)
		}
		for ; a.going() && send(conn, next(i)); i += 2 {
		}
		if a.going() {
			i += 2
			conn.Close()
		}
	}
}

// serve listens, and has f do each connection of the victim, a client.
func (a *attacker) serve(f func(*net.UnixConn)) {
	l, err := net.Listen("unix", a.socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		return
	}
	a.hold(l)
	if err := os.Chmod(a.socket, 0o777); err != nil { // victims may have another user id
		fmt.Fprintln(os.Stderr, "hostile:", err)
		return
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		a.hold(conn)
		go f(conn.(*net.UnixConn))
	}
}

// answering has a server answer each request with the frames of answer.
func (a *attacker) answering(answer func(id uint32) []byte) {
	go a.serve(func(conn *net.UnixConn) {
		for {
			id, _, err := readFrame(conn)
			if err != nil || !send(conn, answer(id)) {
				conn.Close()
				return
			}
		}
	})
}

// readFrame reads a frame and returns its id and type.
func readFrame(r io.Reader) (id uint32, typ byte, err error) {
	var h [headerLength]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	_, err = io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(h[:4])))
	return binary.BigEndian.Uint32(h[4:8]), h[8], err
}
