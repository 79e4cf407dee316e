package workload

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
)

// Handle does the work of a unary method and returns the response's payload.
func Handle(method Method, payload []byte) ([]byte, error) {
	switch method {
	case Echo:
		return payload, nil
	case Burn:
		burn(DecodeCount(payload))
		return nil, nil
	case Block:
		time.Sleep(time.Duration(DecodeCount(payload)))
		return nil, nil
	case Hold:
		held.Add(1)
		select {}
	}
	return nil, fmt.Errorf("unknown method %q", method)
}

// held counts the handlers that Hold keeps.
var held atomic.Int64

// StreamSpec is the request of a server stream.
type StreamSpec struct {
	Messages int
	Size     int
}

// Encode returns the payload of the request.
func (s StreamSpec) Encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.Messages))
	return binary.BigEndian.AppendUint64(b, uint64(s.Size))
}

// DecodeStreamSpec is the inverse of Encode.
func DecodeStreamSpec(payload []byte) StreamSpec {
	if len(payload) != 16 {
		return StreamSpec{}
	}
	return StreamSpec{
		Messages: int(binary.BigEndian.Uint64(payload)),
		Size:     int(binary.BigEndian.Uint64(payload[8:])),
	}
}

// EncodeCount is the payload for Burn and Block, and the response to a client
// stream.
func EncodeCount(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// DecodeCount is the inverse of EncodeCount.
func DecodeCount(payload []byte) int {
	if len(payload) != 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(payload))
}

// sink keeps the compiler from dropping burn's loop.
var sink atomic.Uint64

// burn computes for a fixed number of rounds. It counts rounds and not time, so
// that a handler which had to wait for a core still does all its work.
func burn(rounds int) {
	x := uint64(rounds) | 1
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink.Store(x)
}

// roundsPerMillisecond measures how fast this process burns. The fastest of
// several tries is the one that nothing interrupted.
func roundsPerMillisecond() int {
	const rounds = 500_000
	best := time.Hour
	for range 30 {
		start := time.Now()
		burn(rounds)
		best = min(best, time.Since(start))
	}
	return int(float64(rounds) * float64(time.Millisecond) / float64(best))
}
