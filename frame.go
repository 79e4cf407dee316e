package ttrpc

import (
	"encoding/binary"
	"fmt"
)

// This file is the pure part of the wire format: PROTOCOL.md, section "Frames".

const (
	// headerLength is the size of a frame header in bytes.
	headerLength = 10

	// defaultMaxMessageLength is how many bytes may follow a header.
	defaultMaxMessageLength = 4 << 20

	// maxMessageLengthLimit is the most that an option may allow. The first
	// byte of a header is reserved and always zero, so a length is below 1<<24.
	maxMessageLengthLimit = 1<<24 - 1
)

// streamID names a stream on its connection. Clients use odd ids.
type streamID uint32

func (id streamID) isClient() bool { return id%2 == 1 }

// messageType says what a frame carries.
type messageType uint8

const (
	messageTypeRequest  messageType = 1
	messageTypeResponse messageType = 2
	messageTypeData     messageType = 3
)

func (mt messageType) String() string {
	switch mt {
	case messageTypeRequest:
		return "request"
	case messageTypeResponse:
		return "response"
	case messageTypeData:
		return "data"
	}
	if name, ok := extensionName(mt); ok {
		return name
	}
	return fmt.Sprintf("type(%d)", uint8(mt))
}

// flags modify a frame. They keep the specification's names, which are those
// of the receiving peer's side: "remote closed" in a frame that we send means
// that we send no more.
type flags uint8

const (
	flagRemoteClosed flags = 0x1
	flagRemoteOpen   flags = 0x2
	flagNoData       flags = 0x4
)

func (f flags) has(bit flags) bool { return f&bit != 0 }

// header is what precedes the bytes of each frame.
type header struct {
	length uint32
	id     streamID
	typ    messageType
	flags  flags
}

// endsClient says whether the client's stream gets no frame after this one.
func (h header) endsClient() bool {
	return h.typ == messageTypeResponse || h.flags.has(flagRemoteClosed)
}

func (h header) String() string {
	return fmt.Sprintf("%v frame on stream %d (flags %#x, %d bytes)", h.typ, h.id, uint8(h.flags), h.length)
}

// putHeader writes h to the first headerLength bytes of b.
func putHeader(b []byte, h header) {
	_ = b[headerLength-1]
	binary.BigEndian.PutUint32(b[0:4], h.length)
	binary.BigEndian.PutUint32(b[4:8], uint32(h.id))
	b[8] = byte(h.typ)
	b[9] = byte(h.flags)
}

// parseHeader reads the first headerLength bytes of b.
func parseHeader(b []byte) header {
	_ = b[headerLength-1]
	return header{
		length: binary.BigEndian.Uint32(b[0:4]),
		id:     streamID(binary.BigEndian.Uint32(b[4:8])),
		typ:    messageType(b[8]),
		flags:  flags(b[9]),
	}
}

// putStreamID replaces the stream id in an encoded header: a client's frame is
// encoded before its id is known (see Client.open).
func putStreamID(b []byte, id streamID) {
	binary.BigEndian.PutUint32(b[4:8], uint32(id))
}
