// Command netrpc is a peer of the benchmark: the standard library's net/rpc,
// with its own encoding, gob.
package main

import (
	"context"
	"net"
	"net/rpc"

	"github.com/containerd/ttrpc/bench/workload"
)

func main() {
	workload.Main(workload.Peer{Serve: serve, Dial: dial})
}

// Message is the request and the response of every method.
type Message struct{ Payload []byte }

// Bench is the service.
type Bench struct{}

// Echo returns the payload.
func (Bench) Echo(req, resp *Message) error { return handle(workload.Echo, req, resp) }

// Burn computes.
func (Bench) Burn(req, resp *Message) error { return handle(workload.Burn, req, resp) }

// Block sleeps.
func (Bench) Block(req, resp *Message) error { return handle(workload.Block, req, resp) }

// Hold never returns.
func (Bench) Hold(req, resp *Message) error { return handle(workload.Hold, req, resp) }

func handle(method workload.Method, req, resp *Message) (err error) {
	resp.Payload, err = workload.Handle(method, req.Payload)
	return err
}

func serve(l net.Listener, _ workload.Options) error {
	srv := rpc.NewServer()
	if err := srv.Register(Bench{}); err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go srv.ServeConn(c)
	}
}

type conn struct{ *rpc.Client }

func dial(addr string, o workload.Options) (workload.Conn, error) {
	if o.Real {
		return nil, workload.Unsupported("no metadata, no deadlines")
	}
	c, err := o.Connection.Dial(addr)
	if err != nil {
		return nil, err
	}
	return conn{rpc.NewClient(c)}, nil
}

// Unary implements workload.Conn.
func (c conn) Unary(method workload.Method, payload []byte) workload.Call {
	req := &Message{Payload: payload}
	name := "Bench." + string(method)
	return func(context.Context) ([]byte, error) {
		resp := new(Message)
		err := c.Call(name, req, resp)
		return resp.Payload, err
	}
}

// Stream implements workload.Conn.
func (c conn) Stream(context.Context, workload.StreamKind, []byte) (workload.Stream, error) {
	return nil, workload.Unsupported("no streams")
}
