package workload

import (
	"fmt"
	"net"
	"os"
)

// Connection is a kind of connection between client and server.
type Connection string

// The kinds of connections. All of them have an address that is a path: TCP's
// server leaves its port in a file there.
const (
	Unix    Connection = "unix"
	TCP     Connection = "tcp"     // over the loopback interface
	TLS     Connection = "tls"     // over TCP
	Wrapped Connection = "wrapped" // a unix socket that hides in a type of its own
	Pipe    Connection = "pipe"    // a named pipe, on Windows
)

// transport makes connections of one kind.
type transport struct {
	listen func(addr string) (net.Listener, error)
	dial   func(addr string) (net.Conn, error)
}

var transports = map[Connection]transport{
	Unix:    {listenUnix, dialUnix},
	TCP:     {listenTCP, dialTCP},
	TLS:     {listenTLS, dialTLS},
	Wrapped: {listenWrapped, dialWrapped},
}

// ProvidePipe makes named pipes known. A module of its own has them, so that
// peers without it need not require go-winio.
func ProvidePipe(listen func(addr string) (net.Listener, error), dial func(addr string) (net.Conn, error)) {
	transports[Pipe] = transport{listen, dial}
}

func (c Connection) transport() (transport, error) {
	t, ok := transports[c]
	if !ok {
		return t, Unsupported(fmt.Sprintf("no connections of kind %q", c))
	}
	return t, nil
}

// listen opens the server's end.
func (c Connection) listen(addr string) (net.Listener, error) {
	t, err := c.transport()
	if err != nil {
		return nil, err
	}
	return t.listen(addr)
}

// Dial opens a client's connection.
func (c Connection) Dial(addr string) (net.Conn, error) {
	t, err := c.transport()
	if err != nil {
		return nil, err
	}
	return t.dial(addr)
}

func listenUnix(addr string) (net.Listener, error) { return net.Listen("unix", addr) }
func dialUnix(addr string) (net.Conn, error)       { return net.Dial("unix", addr) }

func listenTCP(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(addr, []byte(l.Addr().String()), 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("leave the port: %w", err)
	}
	return l, nil
}

func dialTCP(addr string) (net.Conn, error) {
	port, err := os.ReadFile(addr)
	if err != nil {
		return nil, fmt.Errorf("learn the port: %w", err)
	}
	return net.Dial("tcp", string(port))
}

// wrapped has no method but net.Conn's, as a multiplexer's connection has: a
// library cannot reach the socket below it.
type wrapped struct{ net.Conn }

type wrappedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l wrappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wrapped{c}, nil
}

func listenWrapped(addr string) (net.Listener, error) {
	l, err := listenUnix(addr)
	return wrappedListener{l}, err
}

func dialWrapped(addr string) (net.Conn, error) {
	c, err := dialUnix(addr)
	if err != nil {
		return nil, err
	}
	return &wrapped{c}, nil
}
