// Package frame is the header of a frame: PROTOCOL.md, sections "Frames" and "Frames of
// extensions". The library and the tools that read connections share it, so that there
// is one reader of headers.
package frame

import (
	"encoding/binary"
	"fmt"
)

const (
	// HeaderLength is the size of a frame header in bytes.
	HeaderLength = 10

	// DefaultMaxMessage is the default limit of bytes after a header.
	DefaultMaxMessage = 4 << 20

	// LargestMessage is the largest limit that a side may set. The first byte of a
	// header is reserved and always zero, so lengths are below 1<<24.
	LargestMessage = 1<<24 - 1
)

// A Type is the type of a frame.
type Type uint8

const (
	TypeRequest  Type = 1
	TypeResponse Type = 2
	TypeData     Type = 3
)

// The types of the frames of extensions. Their id is 0.
const (
	TypeSettings Type = 0x70
	TypeCancel   Type = 0x71
	TypeWindow   Type = 0x72
	TypePing     Type = 0x73
	TypePong     Type = 0x74
	TypeGoaway   Type = 0x75
	TypeMetadata Type = 0x76

	TypeLastExtension Type = 0x7f // up to here types are reserved for extensions
)

// extensionNames are the names of the types from TypeSettings on.
var extensionNames = [...]string{"settings", "cancel", "window", "ping", "pong", "goaway", "metadata"}

// String returns the name of a known type, and otherwise its number.
func (t Type) String() string {
	switch t {
	case TypeRequest:
		return "request"
	case TypeResponse:
		return "response"
	case TypeData:
		return "data"
	}
	if i := int(t) - int(TypeSettings); i >= 0 && i < len(extensionNames) {
		return extensionNames[i]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// The flags of a frame. They keep the specification's names, which take the receiver's
// view: "remote closed" in a frame means that its sender sends no more.
const (
	FlagRemoteClosed uint8 = 0x1
	FlagRemoteOpen   uint8 = 0x2
	FlagNoData       uint8 = 0x4

	FlagAck uint8 = 0x1 // of a settings frame: the client confirms those of the server
)

// A Header is the header of a frame. Length counts the bytes after it.
type Header struct {
	Length uint32
	ID     uint32 // of the stream; clients use odd ids
	Type   Type
	Flags  uint8
}

// IsExtension reports whether h is the header of an extension's frame.
func (h Header) IsExtension() bool {
	return h.ID == 0 && h.Type >= TypeSettings && h.Type <= TypeLastExtension
}

// Put encodes h into the first HeaderLength bytes of b.
func (h Header) Put(b []byte) {
	_ = b[HeaderLength-1]
	binary.BigEndian.PutUint32(b[0:4], h.Length)
	binary.BigEndian.PutUint32(b[4:8], h.ID)
	b[8] = byte(h.Type)
	b[9] = h.Flags
}

// Parse decodes the first HeaderLength bytes of b.
func Parse(b []byte) Header {
	_ = b[HeaderLength-1]
	return Header{
		Length: binary.BigEndian.Uint32(b[0:4]),
		ID:     binary.BigEndian.Uint32(b[4:8]),
		Type:   Type(b[8]),
		Flags:  b[9],
	}
}

// PutID replaces the id of the stream in an encoded header.
func PutID(b []byte, id uint32) { binary.BigEndian.PutUint32(b[4:8], id) }
