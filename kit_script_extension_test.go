//go:build go1.25 && unix

package ttrpc

import (
	"math"

	"google.golang.org/grpc/codes"
)

// This file has the fuzzers' knowledge of extensions: frames that a script sends, and a model
// of the answers.

// extensionForms returns the forms for scriptExtension that differ in kind.
func extensionForms() (forms []byte) {
	for typ := byte(0); typ <= 8; typ++ {
		for shape := byte(0); shape <= 4; shape++ {
			forms = append(forms, shape<<4|typ)
		}
	}
	return forms
}

// scriptExtension returns a frame on id 0 about the stream id. The low bits of form choose
// its type; the high bits choose whether the payload is too short, too long, or right.
func scriptExtension(id streamID, form, detail byte) rawFrame {
	f := rawFrame{typ: messageTypeSettings + messageType(form&0xf)}
	limit := []uint64{0, 1, 1000, 10_000, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64, uint64(detail)}[detail&7]
	switch f.typ {
	case messageTypeSettings:
		if form&0x80 != 0 {
			f.flags = flagAck
			return f
		}
		se := scriptSettings
		se.maxMessage, se.window = uint32(detail>>4)*1000, uint32(detail&0xf)*500
		f.body = se.append(nil)
	case messageTypeCancel:
		f.body = []byte(u32(uint32(id)) + u32(uint32(detail)))
	case messageTypeWindow:
		f.body = []byte(u32(uint32(id)) + u64(limit))
	case messageTypeGoaway:
		f.body = []byte(u32(uint32(id)) + u32(uint32(detail)) + "bye")
	case messageTypeMetadata:
		f.body = []byte(metadataBody(id, metadataKind(detail&3), int(detail>>6)))
	default:
		f.body = []byte(u64(limit))
	}
	switch form >> 4 & 7 {
	case 1:
		f.body = f.body[:len(f.body)/2]
	case 2:
		f.body = append(f.body, "more"...)
	case 3:
		f.body = nil
	case 4:
		f.typ = messageTypeResponse // on id 0
	}
	return f
}

// isAck reports whether h is the header of an acknowledgement.
func isAck(h header) bool {
	return h.isExtension() && h.typ == messageTypeSettings && h.flags.has(flagAck)
}

// offerIn returns the valid offer that a server finds in f, if f is a request with one.
func offerIn(f frameRead) (offer settings, ok bool) {
	var req requestView
	if f.err != nil || f.oversized || f.h.typ != messageTypeRequest || !f.h.id.isClient() || req.parse(f.body, 1<<20) != nil || req.offer == nil {
		return settings{}, false
	}
	return parseSettings(req.offer)
}

// A negotiationModel specifies the states to which frames lead, and the features in use.
type negotiationModel struct {
	state negotiationState
	inUse features
}

// serverReads records a frame that a server reads. It reports whether f is an extension's
// frame and gets no answer because of its id.
func (m *negotiationModel) serverReads(f frameRead) (control bool) {
	offer, offers := offerIn(f)
	switch {
	case m.state == plain && offers:
		m.state, m.inUse = offered, ownFeatures&offer.features
	case m.state == offered && isAck(f.h):
		if !f.oversized {
			m.state = extended
		}
		return true
	}
	return f.h.isExtension() && m.state == extended
}

// clientReads records a frame that a client reads. All of the client's requests have the
// offer, and ids reports whether a stream has an id.
func (m *negotiationModel) clientReads(f frameRead, ids func(streamID) bool) {
	if m.state != offering {
		return
	}
	switch {
	case f.h.isExtension() && f.h.typ == messageTypeSettings && !f.h.flags.has(flagAck) && !f.oversized:
		if s, ok := parseSettings(f.body); ok {
			m.state, m.inUse = extended, ownFeatures&s.features
		}
	case ids(f.h.id) && (f.h.typ == messageTypeResponse || f.h.typ == messageTypeData):
		m.state = plain
	}
}

// ends reports whether a frame ends the connection of a side in the state ON.
func (m *negotiationModel) ends(f frameRead, client bool) bool {
	if m.state != extended || f.oversized || f.h.id != 0 {
		return false
	}
	shorter := func(feature features, n int) bool { return m.inUse.has(feature) && len(f.body) < n }
	switch f.h.typ {
	case messageTypeResponse:
		return client
	case messageTypeCancel:
		return !client && shorter(featureCancel, cancellationLength)
	case messageTypeWindow:
		return shorter(featureWindows, windowUpdateLength)
	case messageTypePing, messageTypePong:
		return shorter(featurePing, pingLength)
	case messageTypeGoaway:
		return client && shorter(featureGoaway, goawayLength)
	case messageTypeMetadata:
		return client && m.inUse.has(featureMetadata) && decodeMetadata(f.body).err != nil
	}
	return false
}

// decodedMetadata is the payload of a metadata frame.
type decodedMetadata struct {
	id   streamID
	kind metadataKind
	size int // of the pairs, as the limit counts them
	err  error
}

func decodeMetadata(b []byte) decodedMetadata {
	view, err := parseResponseMetadata(b)
	var pairs metadataCollector
	if err == nil {
		err = view.pairs(&pairs, 0)
	}
	return decodedMetadata{id: view.id, kind: view.kind, size: pairs.metadataSize, err: err}
}

// A metadataModel has the size of the metadata that each stream has received.
type metadataModel map[streamID]int

// clientReads records a frame that a client in the state ON reads. It reports whether the
// frame fails its stream, if there is one.
func (m metadataModel) clientReads(f frameRead) (id streamID, over bool) {
	md := decodeMetadata(f.body)
	if !f.h.isExtension() || f.h.typ != messageTypeMetadata || f.oversized || md.kind > metadataTrailer {
		return 0, false
	}
	m[md.id] += md.size
	return md.id, m[md.id] > maxResponseMetadata
}

// clientFrames is splitFrames for a client whose requests all have the offer. It ends with
// ErrProtocol at an extension's frame that ends the connection, and at the beginning of
// another protocol. It replaces metadata beyond the limit by a message over the limit,
// which fails the stream likewise, and each response to a call that a goaway frame has
// refused by a response with the status Unavailable.
func clientFrames(b []byte, limit int, ids func(streamID) bool) []frameRead {
	if foreignProtocol(b, true) != "" {
		return []frameRead{{err: ErrProtocol}}
	}
	m, metadata := negotiationModel{state: offering}, metadataModel{}
	frames := splitFrames(b, limit)
	var notice drainNotice
	for i, f := range frames {
		if f.err != nil {
			break
		}
		if m.ends(f, true) {
			return append(frames[:i:i], frameRead{h: f.h, err: ErrProtocol})
		}
		if m.state == extended {
			if id, over := metadata.clientReads(f); over && m.inUse.has(featureMetadata) {
				frames[i] = frameRead{h: header{id: id, typ: messageTypeData}, oversized: true}
			}
			if g, ok := parseGoaway(f.body); ok && m.inUse.has(featureGoaway) && f.h.isExtension() && f.h.typ == messageTypeGoaway && !f.oversized && !notice.come {
				notice = drainNotice{come: true, lastID: g.lastID}
			}
			if f.h.typ == messageTypeResponse && !f.oversized && notice.beyondLocked(f.h.id) {
				frames[i].body = failure(f.h.id, codes.Unavailable, "").body
			}
		}
		m.clientReads(f, ids)
	}
	return frames
}

// mayEndByExtension reports whether b has an extension's frame that ends the connection in
// some state, after a frame that may lead to that state.
func mayEndByExtension(b []byte, limit int) bool {
	for _, client := range []bool{true, false} {
		m := negotiationModel{inUse: ownFeatures}
		for _, f := range splitFrames(b, limit) {
			if f.err == nil && m.ends(f, client) {
				return true
			}
			if f.err == nil && f.h.isExtension() && f.h.typ == messageTypeSettings {
				m.state = extended
			}
		}
	}
	return false
}
