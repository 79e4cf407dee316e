//go:build go1.25 && unix

package ttrpc

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
)

// The fuzzers of connections share this file.

// fuzzMode chooses how a fuzzer uses the bytes of an input.
type fuzzMode uint8

const (
	// fuzzSocket uses a kernel socket in real time; otherwise the connection is in
	// memory, in a bubble.
	fuzzSocket fuzzMode = 1 << iota

	// fuzzScript makes frames from the bytes: see scriptFrames. Otherwise the bytes are
	// sent unchanged.
	fuzzScript

	// fuzzUnread makes the peer read nothing. It does not work with a socket.
	fuzzUnread

	// fuzzTiny sends the bytes in small pieces.
	fuzzTiny
)

func (m fuzzMode) has(bit fuzzMode) bool { return m&bit != 0 }

// bytesOf returns the bytes to send.
func (m fuzzMode) bytesOf(b []byte) []byte {
	if m.has(fuzzScript) {
		return scriptFrames(b)
	}
	return b
}

// write writes b to nc until a write fails.
func (m fuzzMode) write(nc net.Conn, b []byte) {
	for len(b) > 0 {
		n := len(b)
		if m.has(fuzzTiny) {
			n = min(n, max(7, n/20))
		}
		if _, err := nc.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// fuzzLimits are small, so that short inputs reach them.
var fuzzLimits = Limits{MaxMessageLength: 3000, MaxPendingWrite: 5000, MaxStreamBuffer: 4000}

// scriptFrames makes frames from bytes. The frames make sense more often than random bytes
// do: two bytes choose the kind of a frame and its stream, and further bytes the details.
func scriptFrames(b []byte) []byte {
	var frames []byte
	next := func() byte {
		if len(b) == 0 {
			return 0
		}
		x := b[0]
		b = b[1:]
		return x
	}
	methods := []string{"Echo", "EchoStream", "Repeat", "Join", "Fail", "Block", "NoMethod", "Echo"}
	for len(b) > 0 {
		kind, id := next(), streamID(next())
		if kind&0x80 == 0 {
			id = id%16*2 + 1
		}
		f := rawFrame{id: id, flags: flags(kind >> 4 & 7)}
		// Up to a little more than the limit.
		message := &KeyValue{Value: strings.Repeat("m", int(next())*13)}
		switch kind & 0xf {
		case 0, 1, 2, 3, 4, 5:
			x := next()
			req := &Request{Service: testService, Method: methods[x%8]}
			if x&0x10 == 0 {
				req.Payload = mustMarshal(message)
			}
			if x&0x20 != 0 {
				req.TimeoutNano = int64(next()) * 1e6
			}
			if x&0x40 != 0 {
				req.Metadata = []*KeyValue{{Key: "k", Value: string(rune(next()))}, message}
			}
			f.typ, f.body = messageTypeRequest, mustMarshal(req)
			if x&0x80 != 0 {
				f.body = scriptSettings.appendOffer(f.body)
			}
		case 6, 7, 8, 9:
			f.typ, f.body = messageTypeData, mustMarshal(message)
		case 10:
			f.typ, f.flags = messageTypeData, flagRemoteClosed|flagNoData
		case 13:
			f = scriptExtension(f.id, next(), next())
		case 11, 12:
			resp := &Response{Payload: mustMarshal(message)}
			if x := next(); x != 0 {
				resp.Status = newStatus(0, "")
				resp.Status.Code = int32(x) - 1
			}
			f.typ, f.flags, f.body = messageTypeResponse, 0, mustMarshal(resp)
		case 14: // any frame
			f.typ, f.flags, f.body = messageType(next()), flags(next()), []byte(message.Value)
		case 15: // any bytes
			n := min(int(next()), len(b))
			frames = append(frames, b[:n]...)
			b = b[n:]
			continue
		}
		frames = append(frames, f.encode()...)
		if len(frames) > 1<<20 {
			break
		}
	}
	return frames
}

// scriptSeeds returns inputs for scriptFrames that make sense.
func scriptSeeds() [][]byte {
	var seeds [][]byte
	for method := byte(0); method < 8; method++ {
		seeds = append(seeds,
			[]byte{0x00, 0, 5, method},                                      // a unary call
			[]byte{0x20, 0, 5, method, 6, 0, 9, 6, 0, 0, 10, 0, 0},          // a stream
			[]byte{0x20, 0, 5, method, 0x20, 1, 5, method, 6, 0, 255, 6, 1}, // two
			[]byte{0x00, 0, 5, method, 6, 0, 1},                             // data on it
			[]byte{0x10, 0, 200, method | 0x20, 100},                        // with a deadline
			[]byte{0x00, 0, 200, method | 0x40, 'x', 0x00, 0, 1, method},    // with metadata, twice
		)
	}
	var flood []byte
	for i := byte(0); i < 40; i++ {
		flood = append(flood, 6, 0, 255)
	}
	for _, form := range extensionForms() { // before and after an offer, and in use
		on := []byte{0, 0, 5, 0x80, 13, 0, 0, 0x80, 0} // an offer and an acknowledgement
		frame := []byte{13, 1, 0, form, form}
		seeds = append(seeds, append(append(append(append([]byte{}, frame...), on[:4]...), frame...), on[4:]...))
		seeds = append(seeds, append(append(on, 0x20, 1, 5, 1), append(frame, 0x20, 2, 5, 1)...))
		seeds = append(seeds, append([]byte{13, 0, 0, 0, 0}, frame...)) // in use at a client
	}
	return append(seeds,
		append([]byte{0x20, 0, 5, 1}, flood...),
		append([]byte{0x20, 0, 5, 5}, flood...),
		append([]byte{0x20, 0, 5, 3}, append(flood, 10, 0, 0)...),
		[]byte{0x80, 2, 0, 0, 0x8e, 0, 0, 0, 0},       // even ids, and a ping
		[]byte{11, 0, 5, 0, 12, 1, 5, 1, 12, 2, 5, 9}, // responses
		[]byte{6, 0, 5, 6, 1, 5, 10, 1, 0, 11, 0, 5, 1},
	)
}

// splitOutput splits the output of an endpoint into frames. The output must consist of
// whole frames, except for the last one, which the end of the connection may have cut off.
func splitOutput(b []byte, limit int) (frames []rawFrame, err error) {
	for len(b) >= headerLength {
		h := parseHeader(b)
		if int(h.length) > limit {
			return frames, fmt.Errorf("%v is longer than the limit", h)
		}
		if len(b)-headerLength < int(h.length) {
			break
		}
		b = b[headerLength:]
		frames = append(frames, rawFrame{id: h.id, typ: h.typ, flags: h.flags, body: b[:h.length]})
		b = b[h.length:]
	}
	return frames, nil
}

// checkServerOutput checks the output of a server, given its input. The output must consist
// of whole frames of the two types that servers send. There is at most one final frame for
// each input frame that can have caused it, and no frame follows a final frame.
func checkServerOutput(sent, output []byte) error {
	causes := make(map[streamID]int) // how many frames may have caused a final frame
	offers, acks := false, false
	for _, f := range splitFrames(sent, maxMessageLengthLimit) {
		if f.err == nil {
			causes[f.h.id]++
			_, ok := offerIn(f)
			offers = offers || ok
			acks = acks || offers && isAck(f.h)
		}
	}
	frames, err := splitOutput(output, fuzzLimits.MaxMessageLength)
	if err != nil {
		return err
	}
	begun := make(map[streamID]bool) // streams with data and without a final frame
	for _, f := range frames {
		final := f.typ == messageTypeResponse || f.flags.has(flagRemoteClosed)
		switch {
		case f.header().isExtension():
			if !offers || !acks && f.typ != messageTypeSettings && f.typ != messageTypeMetadata && f.typ != messageTypeGoaway {
				return fmt.Errorf("nothing that was sent allows %v", f)
			}
			if id := decodeMetadata(f.body).id; f.typ == messageTypeMetadata && !begun[id] && causes[id] <= 0 {
				return fmt.Errorf("%v comes after stream %d", f, id)
			}
			continue
		case f.typ != messageTypeResponse && f.typ != messageTypeData:
			return fmt.Errorf("a server does not send a %v", f)
		case f.typ == messageTypeResponse && proto.Unmarshal(f.body, &Response{}) != nil:
			return fmt.Errorf("%v does not decode", f)
		case !begun[f.id]:
			if causes[f.id]--; causes[f.id] < 0 {
				return fmt.Errorf("nothing that was sent has caused %v", f)
			}
		}
		begun[f.id] = !final
	}
	return nil
}

// collect reads everything from nc until a read fails.
func collect(nc net.Conn) (wait func() []byte) {
	var b []byte
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		b, _ = io.ReadAll(nc)
	}()
	return func() []byte {
		wg.Wait()
		return b
	}
}
