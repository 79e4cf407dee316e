package ttrpc

import (
	"fmt"

	"github.com/containerd/ttrpc/internal/frame"
)

// This file names the parts of frame headers as the package uses them. Their encoding is
// in internal/frame: PROTOCOL.md, section "Frames".

const (
	// headerLength is the size of a frame header in bytes.
	headerLength = frame.HeaderLength

	// defaultMaxMessageLength is the default limit of bytes after a header.
	defaultMaxMessageLength = frame.DefaultMaxMessage

	// maxMessageLengthLimit is the largest limit that an option may set.
	maxMessageLengthLimit = frame.LargestMessage
)

// streamID identifies a stream on its connection. Clients use odd ids.
type streamID uint32

func (id streamID) isClient() bool { return id%2 == 1 }

// messageType is the type of a frame.
type messageType = frame.Type

const (
	messageTypeRequest  = frame.TypeRequest
	messageTypeResponse = frame.TypeResponse
	messageTypeData     = frame.TypeData
)

// flags modify a frame. They keep the specification's names, which take the receiver's
// view: "remote closed" in a frame means that its sender sends no more.
type flags uint8

const (
	flagRemoteClosed = flags(frame.FlagRemoteClosed)
	flagRemoteOpen   = flags(frame.FlagRemoteOpen)
	flagNoData       = flags(frame.FlagNoData)
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

// wire returns h as the codec of headers takes it.
func (h header) wire() frame.Header {
	return frame.Header{Length: h.length, ID: uint32(h.id), Type: h.typ, Flags: uint8(h.flags)}
}

// putHeader encodes h into the first headerLength bytes of b.
func putHeader(b []byte, h header) { h.wire().Put(b) }

// parseHeader decodes the first headerLength bytes of b.
func parseHeader(b []byte) header {
	h := frame.Parse(b)
	return header{length: h.Length, id: streamID(h.ID), typ: h.Type, flags: flags(h.Flags)}
}

// putStreamID replaces the stream id in an encoded header: a client encodes a request
// before it assigns the id (see Client.open).
func putStreamID(b []byte, id streamID) { frame.PutID(b, uint32(id)) }
