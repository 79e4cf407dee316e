//go:build streams

package main

import "encoding/binary"

// encodeSizes and decodeSizes carry the sizes of the messages that a stream's
// client wants to get.
func encodeSizes(sizes ...int) *bytesMsg {
	var b []byte
	for _, size := range sizes {
		b = binary.AppendUvarint(b, uint64(size))
	}
	return &bytesMsg{Value: b}
}

func decodeSizes(b []byte) []int {
	var sizes []int
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 {
			panic("sizes cut short")
		}
		sizes, b = append(sizes, int(size)), b[n:]
	}
	return sizes
}
