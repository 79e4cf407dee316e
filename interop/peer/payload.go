package main

import (
	"encoding/binary"
	"fmt"
)

// requestHeader precedes the payload of a Payload request: the number of the
// request and the size of the response that it asks for.
const requestHeader = 16

// pattern is the payload of message number seq: different for each number, so
// that a message that went to the wrong call, or out of order, is noticed.
func pattern(seq, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(seq*131 + i*7 + i>>8)
	}
	if size >= 8 {
		binary.BigEndian.PutUint64(b, uint64(seq))
	}
	return b
}

func checkPattern(got []byte, seq, size int) error {
	if len(got) != size {
		return fmt.Errorf("message %d: got %d bytes, want %d", seq, len(got), size)
	}
	if string(got) != string(pattern(seq, size)) {
		return fmt.Errorf("message %d of %d bytes: its bytes are another's", seq, size)
	}
	return nil
}

// payloadRequest makes a Payload request of size bytes in all.
func payloadRequest(seq, size, responseSize int) *bytesMsg {
	b := make([]byte, requestHeader, size)
	binary.BigEndian.PutUint64(b, uint64(seq))
	binary.BigEndian.PutUint64(b[8:], uint64(responseSize))
	return &bytesMsg{Value: append(b, pattern(seq, size-requestHeader)...)}
}

// payloadResponse checks a Payload request and makes its response.
func payloadResponse(req []byte) ([]byte, error) {
	if len(req) < requestHeader {
		return nil, fmt.Errorf("request of %d bytes", len(req))
	}
	seq := int(binary.BigEndian.Uint64(req))
	size := int(binary.BigEndian.Uint64(req[8:]))
	if err := checkPattern(req[requestHeader:], seq, len(req)-requestHeader); err != nil {
		return nil, err
	}
	return pattern(seq, size), nil
}
