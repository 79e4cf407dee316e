//go:build ours

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/containerd/ttrpc"
)

// variant is set by the linker: "" for the defaults, "plain" for extensions switched
// off, "offers" for a client that offers them in every request.
var variant string

var (
	clientOptions []ttrpc.ClientOpts
	serverOptions []ttrpc.ServerOpt

	offer []byte // field 1000 of a Request, of the variant "offers"
)

func init() {
	switch variant {
	case "plain":
		clientOptions = []ttrpc.ClientOpts{ttrpc.WithClientExtensions(false)}
		serverOptions = []ttrpc.ServerOpt{ttrpc.WithServerExtensions(false)}
	case "offers":
		offer = learnOffer()
	}
}

const headerLength, typeRequest = 10, 1

// offerTag begins field 1000 of a Request.
var offerTag = []byte{0xc2, 0x3e}

// learnOffer returns the offer of a client, which is the end of its first request.
func learnOffer() []byte {
	near, far := net.Pipe()
	defer far.Close()
	c := ttrpc.NewClient(near)
	defer c.Close()
	go c.Call(context.Background(), peerService, "Empty", &emptyMsg{}, &emptyMsg{})
	header := make([]byte, headerLength)
	if _, err := io.ReadFull(far, header); err != nil {
		panic(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(header))
	if _, err := io.ReadFull(far, body); err != nil {
		panic(err)
	}
	if i := bytes.LastIndex(body, offerTag); i >= 0 {
		return body[i:]
	}
	panic(fmt.Sprintf("no offer in the first request: %q", body))
}

func wrapConn(nc net.Conn) net.Conn {
	if offer == nil {
		return nc
	}
	return &offeringConn{Conn: nc}
}

// offeringConn adds the offer to all requests of a client that have room for it. The
// client's writer owns it.
type offeringConn struct {
	net.Conn
	frame []byte // the beginning of a frame whose end is not written yet
}

// Write splits its input into frames. It returns the length of the input: the client
// knows neither of added bytes nor of a frame that waits for its end.
func (oc *offeringConn) Write(b []byte) (int, error) {
	oc.frame = append(oc.frame, b...)
	var out []byte
	for len(oc.frame) >= headerLength {
		end := headerLength + int(binary.BigEndian.Uint32(oc.frame))
		if len(oc.frame) < end {
			break
		}
		out = append(out, withOffer(oc.frame[:end])...)
		oc.frame = oc.frame[end:]
	}
	if _, err := oc.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// withOffer returns a frame that offers, if it is a request with room for that.
func withOffer(frame []byte) []byte {
	length := len(frame) - headerLength + len(offer)
	if frame[8] != typeRequest || length > messageLimit || bytes.HasSuffix(frame, offer) {
		return frame
	}
	out := append(frame[:len(frame):len(frame)], offer...)
	binary.BigEndian.PutUint32(out, uint32(length))
	return out
}
