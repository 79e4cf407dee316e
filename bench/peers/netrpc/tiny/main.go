// Command tiny is the smallest server of this peer, with one method. Its
// stripped size and its memory at start-up are measured.
package main

import (
	"log"
	"net"
	"net/rpc"
	"os"
)

// Message is the request and the response.
type Message struct{ Payload []byte }

// Bench is the service.
type Bench struct{}

// Echo returns the payload.
func (Bench) Echo(req, resp *Message) error {
	resp.Payload = req.Payload
	return nil
}

func main() {
	log.SetFlags(0)
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	srv := rpc.NewServer()
	if err := srv.Register(Bench{}); err != nil {
		log.Fatal(err)
	}
	srv.Accept(l)
}
