package ttrpc

import (
	"encoding/binary"

	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// This file encodes and decodes the offer in a request and the frames on id 0: PROTOCOL.md,
// section "Extensions".

// requestOffer is the field of a Request in which a client offers extensions. Servers that
// do not know the field skip it.
const requestOffer = frame.FieldOffer

const (
	// extensionVersion is the version of Settings that this implementation sends.
	extensionVersion = 1

	// maxOfferRequest is the length of the longest request that carries an offer, in
	// bytes without the offer. No request becomes too long by the offer, and a request
	// that fits into a write of 4096 bytes still does.
	maxOfferRequest = 4000
)

// The types of the frames of extensions, whose id is 0. A peer gets such a frame only after
// it has offered or confirmed extensions.
const (
	messageTypeSettings = frame.TypeSettings
	messageTypeCancel   = frame.TypeCancel
	messageTypeWindow   = frame.TypeWindow
	messageTypePing     = frame.TypePing
	messageTypePong     = frame.TypePong
	messageTypeGoaway   = frame.TypeGoaway
	messageTypeMetadata = frame.TypeMetadata

	lastExtensionType = frame.TypeLastExtension
)

// flagAck is a flag of settings frames: the client acknowledges the server's settings.
const flagAck = flags(frame.FlagAck)

// isExtension reports whether h is the header of an extension's frame.
func (h header) isExtension() bool { return h.wire().IsExtension() }

// features is a set of extensions.
type features uint64

const (
	featureCancel features = 1 << iota
	featureWindows
	featurePing
	featureMetadata
	featureGoaway
	featureReverse // reserved: calls from the server to the client
	featureChunks  // reserved: messages in several frames
)

// ownFeatures are the features that this implementation offers.
const ownFeatures = featureCancel | featureWindows | featurePing | featureMetadata | featureGoaway

func (ft features) has(feature features) bool { return ft&feature != 0 }

func (ft features) String() string { return frame.Features(ft).String() }

// settings is the message Settings: an offer or its answer. The fields are as on the wire.
type settings struct {
	version    uint32
	features   features
	maxMessage uint32 // longest payload that the side accepts, in bytes: see messageLimit
	window     uint32 // receive window of each stream, in bytes; 0 for none
}

func (se settings) wire() frame.Settings {
	return frame.Settings{Version: se.version, Features: frame.Features(se.features), MaxMessage: se.maxMessage, Window: se.window}
}

// messageLimit returns the longest payload that the side with these settings accepts.
func (se settings) messageLimit() int { return se.wire().Limit() }

// size returns the encoded length in bytes.
func (se settings) size() int { return se.wire().Size() }

// append adds the encoding to b.
func (se settings) append(b []byte) []byte { return se.wire().Append(b) }

// parseSettings decodes b. It returns false for bytes that are not a Settings message, and
// for settings of version 0, which count as absent.
func parseSettings(b []byte) (settings, bool) {
	s, ok := frame.ParseSettings(b)
	return settings{s.Version, features(s.Features), s.MaxMessage, s.Window}, ok
}

// sizeOffer returns the length of field 1000 of a Request with se in it.
func (se settings) sizeOffer() int { return 2 + protowire.SizeBytes(se.size()) }

// appendOffer adds field 1000 of a Request to b, with se in it.
func (se settings) appendOffer(b []byte) []byte {
	b = protowire.AppendTag(b, requestOffer, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(se.size()))
	return se.append(b)
}

// newExtensionFrame returns a frame to which the caller appends n bytes of payload.
func newExtensionFrame(typ messageType, fl flags, n int) *buffer {
	buf := getBuffer(headerLength + n)
	buf.b = buf.b[:headerLength]
	putHeader(buf.b, header{length: uint32(n), typ: typ, flags: fl})
	return buf
}

// settingsFrame returns the server's answer to an offer.
func settingsFrame(s settings) *buffer {
	buf := newExtensionFrame(messageTypeSettings, 0, s.size())
	buf.b = s.append(buf.b)
	return buf
}

// ackFrame returns the client's answer to the settings of the server.
func ackFrame() *buffer { return newExtensionFrame(messageTypeSettings, flagAck, 0) }

// The payloads of the frames below begin with a part of fixed length. The parse functions
// return false if a payload is shorter, which breaks the protocol. They ignore further
// bytes, which a later version may have added.

func errShortPayload(h header) error {
	return errProtocol("%d bytes are too short for the payload of a %v frame", h.length, h.typ)
}

// cancellation is the payload of a cancel frame: the client has given up on a stream.
type cancellation struct {
	id   streamID
	code codes.Code // Canceled, or DeadlineExceeded
}

const cancellationLength = 8

func (can cancellation) frame() *buffer {
	buf := newExtensionFrame(messageTypeCancel, 0, cancellationLength)
	buf.b = binary.BigEndian.AppendUint32(buf.b, uint32(can.id))
	buf.b = binary.BigEndian.AppendUint32(buf.b, uint32(can.code))
	return buf
}

func parseCancellation(b []byte) (cancellation, bool) {
	c, ok := frame.ParseCancel(b)
	return cancellation{streamID(c.ID), codes.Code(c.Code)}, ok
}

// windowUpdate is the payload of a window frame: the sender of data on a stream may send
// while it has sent less than limit.
type windowUpdate struct {
	id    streamID
	limit uint64 // in bytes of dataCost, from the beginning of the stream
}

const windowUpdateLength = 12

func (wu windowUpdate) frame() *buffer {
	buf := newExtensionFrame(messageTypeWindow, 0, windowUpdateLength)
	buf.b = binary.BigEndian.AppendUint32(buf.b, uint32(wu.id))
	buf.b = binary.BigEndian.AppendUint64(buf.b, wu.limit)
	return buf
}

func parseWindowUpdate(b []byte) (windowUpdate, bool) {
	w, ok := frame.ParseWindow(b)
	return windowUpdate{streamID(w.ID), w.Limit}, ok
}

// pingData is the payload of a ping or a pong. The peer returns it unchanged.
type pingData uint64

const pingLength = frame.PingLength

// frame returns a ping, or a pong.
func (pd pingData) frame(typ messageType) *buffer {
	buf := newExtensionFrame(typ, 0, pingLength)
	buf.b = binary.BigEndian.AppendUint64(buf.b, uint64(pd))
	return buf
}

func parsePing(b []byte) (pingData, bool) {
	number, ok := frame.ParsePing(b)
	return pingData(number), ok
}

// goaway is the payload of a goaway frame: the server takes no new calls.
type goaway struct {
	lastID streamID   // the highest id of an accepted call; 0 for none
	code   codes.Code // the reason: OK for a shutdown
	text   string     // for people
}

const (
	goawayLength  = 8
	maxGoawayText = frame.MaxGoawayText // a longer text is cut by both sides
)

func (g goaway) frame() *buffer {
	text := cutText(g.text)
	buf := newExtensionFrame(messageTypeGoaway, 0, goawayLength+len(text))
	buf.b = binary.BigEndian.AppendUint32(buf.b, uint32(g.lastID))
	buf.b = binary.BigEndian.AppendUint32(buf.b, uint32(g.code))
	buf.b = append(buf.b, text...)
	return buf
}

func parseGoaway(b []byte) (goaway, bool) {
	g, ok := frame.ParseGoaway(b)
	return goaway{streamID(g.LastID), codes.Code(g.Code), cutText(g.Text)}, ok
}

// cutText returns valid UTF-8 of at most maxGoawayText bytes.
func cutText(s string) string { return truncate(s, min(len(s), maxGoawayText)) }
