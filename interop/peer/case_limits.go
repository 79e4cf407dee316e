package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc/codes"
)

func init() {
	cases["limit_request_at"] = (*env).limitRequestAt
	cases["limit_request_over"] = (*env).limitRequestOver
	cases["limit_response_at"] = (*env).limitResponseAt
	cases["limit_response_over"] = (*env).limitResponseOver
}

// messageLimit is the most that the payload of a frame may have.
const messageLimit = 4 << 20

// delimited is the size of a protobuf field of n bytes with a small number.
func delimited(n int) int {
	return 1 + len(binary.AppendUvarint(nil, uint64(n))) + n
}

// requestOverhead is the number of bytes that a Payload request of about messageLimit
// has around its payload, when the call has no deadline and no metadata.
func requestOverhead() int {
	const n = messageLimit - 1024 // its length takes as many bytes as the limit's
	return delimited(len(peerService)) + delimited(len("Payload")) + delimited(delimited(n)) - n
}

func (e *env) limitRequestAt() error {
	if err := e.exchange(1, messageLimit-requestOverhead(), 0); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) limitRequestOver() error {
	if err := wantCode(e.exchange(1, messageLimit-requestOverhead()+1, 0), codes.ResourceExhausted); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) limitResponseAt() error {
	overhead, err := e.responseOverhead()
	if err != nil {
		return err
	}
	if err := e.exchange(1, requestHeader, messageLimit-overhead); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) limitResponseOver() error {
	overhead, err := e.responseOverhead()
	if err != nil {
		return err
	}
	err = e.exchange(1, requestHeader, messageLimit-overhead+1)
	if err := wantCode(err, codes.ResourceExhausted); err != nil {
		return err
	}
	return e.alive()
}

// responseOverhead is the number of bytes that the server puts around the payload of
// a response of about messageLimit. Servers differ in how they say success, so
// it is measured, with a call made by hand on a connection of its own.
func (e *env) responseOverhead() (int, error) {
	const n = messageLimit - 1024
	nc, err := net.Dial(network(e.socket), e.socket)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	message := appendDelimited(nil, 1, payloadRequest(1, requestHeader, n).Value)
	request := appendDelimited(nil, 1, []byte(peerService))
	request = appendDelimited(request, 2, []byte("Payload"))
	request = appendDelimited(request, 3, message)
	const stream, typeRequest, typeResponse = 1, 1, 2
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	frame = binary.BigEndian.AppendUint32(frame, stream)
	frame = append(frame, typeRequest, 0)
	if _, err := nc.Write(append(frame, request...)); err != nil {
		return 0, err
	}
	var header [10]byte
	if _, err := io.ReadFull(nc, header[:]); err != nil {
		return 0, err
	}
	length := int(binary.BigEndian.Uint32(header[:]))
	if header[8] != typeResponse || length < n || length > n+100 {
		return 0, fmt.Errorf("a frame of type %d with %d bytes for a response of %d", header[8], length, n)
	}
	if _, err := io.CopyN(io.Discard, nc, int64(length)); err != nil {
		return 0, err
	}
	return length - n, nil
}

func appendDelimited(b []byte, number int, value []byte) []byte {
	b = append(b, byte(number<<3|2))
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}
