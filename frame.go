package ttrpc

import (
	"encoding/binary"
	"fmt"
)

// This file encodes and decodes frame headers: PROTOCOL.md, section "Frames".

const (
	// headerLength is the size of a frame header in bytes.
	headerLength = 10

	// defaultMaxMessageLength is the default limit of bytes after a header.
	defaultMaxMessageLength = 4 << 20

	// maxMessageLengthLimit is the largest limit that an option may set. The first byte
	// of a header is reserved and always zero, so lengths are below 1<<24.
	maxMessageLengthLimit = 1<<24 - 1
)

// streamID identifies a stream on its connection. Clients use odd ids.
type streamID uint32

func (id streamID) isClient() bool { return id%2 == 1 }

// messageType is the type of a frame.
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

// flags modify a frame. They keep the specification's names, which take the receiver's
// view: "remote closed" in a frame means that its sender sends no more.
type flags uint8

const (
	flagRemoteClosed flags = 0x1
	flagRemoteOpen   flags = 0x2
	flagNoData       flags = 0x4
)

func (f flags) has(bit flags) bool { return f&bit != 0 }

// header is the header of a frame. length counts the bytes after it.
type header struct {
	length uint32
	id     streamID
	typ    messageType
	flags  flags
}

// endsClient reports whether a client's stream receives no frame after this one.
func (h header) endsClient() bool {
	return h.typ == messageTypeResponse || h.flags.has(flagRemoteClosed)
}

func (h header) String() string {
	return fmt.Sprintf("%v frame on stream %d (flags %#x, %d bytes)", h.typ, h.id, uint8(h.flags), h.length)
}

// putHeader encodes h into the first headerLength bytes of b.
func putHeader(b []byte, h header) {
	_ = b[headerLength-1]
	binary.BigEndian.PutUint32(b[0:4], h.length)
	binary.BigEndian.PutUint32(b[4:8], uint32(h.id))
	b[8] = byte(h.typ)
	b[9] = byte(h.flags)
}

// parseHeader decodes the first headerLength bytes of b.
func parseHeader(b []byte) header {
	_ = b[headerLength-1]
	return header{
		length: binary.BigEndian.Uint32(b[0:4]),
		id:     streamID(binary.BigEndian.Uint32(b[4:8])),
		typ:    messageType(b[8]),
		flags:  flags(b[9]),
	}
}

// putStreamID replaces the stream id in an encoded header: a client encodes a request
// before it assigns the id (see Client.open).
func putStreamID(b []byte, id streamID) {
	binary.BigEndian.PutUint32(b[4:8], uint32(id))
}
