package main

import "encoding/binary"

// The frames of the attackers are made by hand: PROTOCOL.md, sections "Frames" and
// "Envelope".

const (
	headerLength = 10
	maxLength    = 4 << 20 // of a frame's payload, by default

	typeRequest  byte = 1
	typeResponse byte = 2
	typeData     byte = 3

	remoteClosed byte = 1
	remoteOpen   byte = 2
	noData       byte = 4
)

// service is the victim's, and the honest server's.
const service = "hostile.Victim"

// header is that of a frame with so many bytes, which may not follow.
func header(length int, id uint32, typ, flags byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(length))
	b = binary.BigEndian.AppendUint32(b, id)
	return append(b, typ, flags)
}

func frame(id uint32, typ, flags byte, body []byte) []byte {
	return append(header(len(body), id, typ, flags), body...)
}

// field is a field of bytes, a string or a message.
func field(number int, value []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// number is a field of a varint.
func number(n int, value uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n)<<3), value)
}

// bytesOf is a message with n bytes.
func bytesOf(n int) []byte { return field(1, make([]byte, n)) }

// request is a frame that calls a method; more fields of the envelope may follow.
func request(id uint32, flags byte, method string, message []byte, more ...[]byte) []byte {
	body := append(field(1, []byte(service)), field(2, []byte(method))...)
	body = append(body, field(3, message)...)
	for _, m := range more {
		body = append(body, m...)
	}
	return frame(id, typeRequest, flags, body)
}

// unary is request for a unary method.
func unary(id uint32, method string, message []byte, more ...[]byte) []byte {
	return request(id, 0, method, message, more...)
}

// response is a successful one.
func response(id uint32, message []byte) []byte {
	return frame(id, typeResponse, 0, append(field(1, nil), field(2, message)...))
}

// repeated is b so many times.
func repeated(b []byte, n int) []byte {
	all := make([]byte, 0, len(b)*n)
	for i := 0; i < n; i++ {
		all = append(all, b...)
	}
	return all
}

// nested is a list in a list, as google.protobuf.Value has them, of up to n bytes.
func nested(n int) []byte {
	b := make([]byte, n)
	at := n
	put := func(tag byte) {
		length := binary.AppendUvarint([]byte{tag}, uint64(n-at))
		at -= len(length)
		copy(b[at:], length)
	}
	for at > 20 {
		put(1<<3 | 2) // ListValue.values
		put(6<<3 | 2) // Value.list_value
	}
	return b[at:]
}
