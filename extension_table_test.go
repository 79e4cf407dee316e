//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// In these tests each role, in each state of the negotiation, reads each extension's frame,
// valid and invalid: PROTOCOL.md, sections "Frames of extensions" and "Negotiation".

// allFeatures are the features that PROTOCOL.md defines.
const allFeatures = featureCancel | featureWindows | featurePing | featureMetadata | featureGoaway

// scriptSettings are the settings of a script that has all features.
var scriptSettings = settings{version: 1, features: allFeatures, maxMessage: defaultMaxMessageLength, window: 1 << 20}

// offeringRequest adds an offer with the settings of a script to a request.
func offeringRequest(f rawFrame) rawFrame {
	f.body = scriptSettings.appendOffer(bytes.Clone(f.body))
	return f
}

// A rowAnswer is the consequence of a frame.
type rowAnswer uint8

const (
	rowIgnored rowAnswer = iota
	rowEnds              // the connection
	rowPong              // with the first 8 bytes
	rowRefused           // a response on the frame's id, InvalidArgument
	rowAck               // an acknowledgement
)

// An extensionRow is a frame on id 0 that a side reads in the state ON.
type extensionRow struct {
	name     string
	typ      messageType
	flags    flags
	body     string
	feature  features  // that decides about the frame; without it the frame is ignored
	atServer rowAnswer // in the state ON
	atClient rowAnswer
}

func u32(n uint32) string { return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) }

func u64(n uint64) string { return u32(uint32(n>>32)) + u32(uint32(n)) }

// metadataBody returns the payload of a metadata frame with pairs of a kilobyte each.
func metadataBody(id streamID, kind metadataKind, pairs int) string {
	md := MD{}
	for i := 0; i < pairs; i++ {
		md.Append("key", strings.Repeat("v", 1<<10))
	}
	frame, err := metadataFrame(id, kind, md)
	if err != nil {
		panic(err)
	}
	defer frame.release()
	return string(frame.bytes()[headerLength:])
}

// The calls of a row have these ids: one runs, one is over, and one was never begun.
const (
	rowOver  streamID = 1
	rowRuns  streamID = 3
	rowNever streamID = 4001
)

// rowLimits are the limits for rows with an oversized frame.
var rowLimits = Limits{MaxMessageLength: minMessageLimit}

// extensionRows returns the frames that affect no call, or end the connection.
func extensionRows() []extensionRow {
	rows := []extensionRow{
		{name: "settings", typ: messageTypeSettings, body: string(scriptSettings.append(nil))},
		{name: "settings of no version", typ: messageTypeSettings, body: "\x10\x1f"},
		{name: "settings that do not decode", typ: messageTypeSettings, body: "\x08"},
		{name: "settings of no bytes", typ: messageTypeSettings},
		{name: "an acknowledgement", typ: messageTypeSettings, flags: flagAck},
		{name: "an acknowledgement with a payload", typ: messageTypeSettings, flags: flagAck, body: "more"},
		{name: "a long ping", typ: messageTypePing, body: "12345678 more", feature: featurePing, atServer: rowPong, atClient: rowPong},
		{name: "a ping with flags", typ: messageTypePing, flags: 0xff, body: "\xff\xff\xff\xff\xff\xff\xff\xff", feature: featurePing, atServer: rowPong, atClient: rowPong},
		{name: "a pong that nobody waits for", typ: messageTypePong, body: "12345678", feature: featurePing},
		{name: "goaway", typ: messageTypeGoaway, body: u32(1<<32-1) + u32(0) + "bye", feature: featureGoaway},
		{name: "goaway with a long text", typ: messageTypeGoaway, body: u32(1<<32-1) + u32(0) + strings.Repeat("\xff", 5000), feature: featureGoaway},
		{name: "metadata that does not decode", typ: messageTypeMetadata, body: "\x08", feature: featureMetadata, atClient: rowEnds},
		{name: "metadata with a bad pair", typ: messageTypeMetadata, body: "\x08\x03\x1a\x03\x0a\x01\xff", feature: featureMetadata, atClient: rowEnds},
		{name: "metadata with a bad pair for no stream", typ: messageTypeMetadata, body: "\x1a\x03\x0a\x01\xff", feature: featureMetadata, atClient: rowEnds},
		{name: "metadata with no id", typ: messageTypeMetadata, feature: featureMetadata},
		{name: "metadata of another kind", typ: messageTypeMetadata, body: metadataBody(rowRuns, 2, 1), feature: featureMetadata},
		{name: "a response", typ: messageTypeResponse, body: string(failure(0, codes.Canceled, "x").body), atServer: rowRefused, atClient: rowEnds},
		{name: "a response that does not decode", typ: messageTypeResponse, body: "\xff", atServer: rowRefused, atClient: rowEnds},
		{name: "a request", typ: messageTypeRequest, body: "\xff", atServer: rowRefused},
		{name: "data", typ: messageTypeData, body: "\xff", atServer: rowRefused},
		{name: "a probe", atServer: rowRefused},
		{name: "the type below", typ: messageTypeSettings - 1, atServer: rowRefused},
		{name: "the type above", typ: lastExtensionType + 1, atServer: rowRefused},
	}
	// A payload that is one byte too short, and none at all.
	for _, short := range []extensionRow{
		{name: "cancel", typ: messageTypeCancel, body: u64(0), feature: featureCancel, atServer: rowEnds},
		{name: "window", typ: messageTypeWindow, body: u32(0) + u64(0), feature: featureWindows, atServer: rowEnds, atClient: rowEnds},
		{name: "ping", typ: messageTypePing, body: u64(0), feature: featurePing, atServer: rowEnds, atClient: rowEnds},
		{name: "pong", typ: messageTypePong, body: u64(0), feature: featurePing, atServer: rowEnds, atClient: rowEnds},
		{name: "goaway", typ: messageTypeGoaway, body: u64(0), feature: featureGoaway, atClient: rowEnds},
	} {
		full := short.body
		short.name, short.body = "a short "+short.name, full[1:]
		empty := short
		empty.name, empty.body = "an empty"+strings.TrimPrefix(short.name, "a short"), ""
		rows = append(rows, short, empty)
	}
	for _, id := range []streamID{0, 2, rowOver, rowNever, 1<<32 - 1} {
		pairs := 1
		if id == rowNever {
			pairs = 1100 // more than a call may have
		}
		rows = append(rows,
			extensionRow{name: fmt.Sprint("cancel of stream ", id), typ: messageTypeCancel, body: u32(uint32(id)) + u32(1), feature: featureCancel},
			extensionRow{name: fmt.Sprint("a long cancel of stream ", id), typ: messageTypeCancel, body: u32(uint32(id)) + u32(1<<32-1) + "more", feature: featureCancel},
			extensionRow{name: fmt.Sprint("header metadata of stream ", id), typ: messageTypeMetadata, body: metadataBody(id, metadataHeader, 1), feature: featureMetadata},
			extensionRow{name: fmt.Sprint("trailer metadata of stream ", id), typ: messageTypeMetadata, body: metadataBody(id, metadataTrailer, pairs), feature: featureMetadata},
		)
	}
	for _, id := range []streamID{0, 2, rowRuns, rowOver, rowNever, 1<<32 - 1} {
		for _, limit := range []uint64{0, 1, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
			rows = append(rows, extensionRow{
				name: fmt.Sprintf("window of stream %d to %d", id, limit), typ: messageTypeWindow,
				body: u32(uint32(id)) + u64(limit), feature: featureWindows,
			})
		}
	}
	for typ := messageTypeMetadata + 1; typ <= lastExtensionType; typ++ {
		rows = append(rows, extensionRow{name: fmt.Sprintf("the reserved type %#x", uint8(typ)), typ: typ, flags: 0xff, body: "later"})
	}
	for typ := messageTypeSettings; typ <= lastExtensionType; typ++ {
		rows = append(rows, extensionRow{
			name: fmt.Sprintf("type %#x over the limit", uint8(typ)), typ: typ, body: strings.Repeat("x", rowLimits.MaxMessageLength+1),
		})
	}
	return rows
}

func (r extensionRow) frame() rawFrame {
	return rawFrame{typ: r.typ, flags: r.flags, body: []byte(r.body)}
}

// answers returns the frames that answer the row.
func (r extensionRow) answers(want rowAnswer) []rawFrame {
	switch want {
	case rowPong:
		return []rawFrame{{typ: messageTypePong, body: []byte(r.body[:8])}}
	case rowRefused:
		return []rawFrame{failure(0, codes.InvalidArgument, "stream id 0 is not odd, as a client's must be")}
	case rowAck:
		return []rawFrame{ack}
	}
	return nil
}

// limits returns the limits of the side that reads the row. They are low if the frame must
// be too long.
func (r extensionRow) limits() (l Limits) {
	if r.over() {
		l = rowLimits
	}
	return l
}

// over reports whether the frame must be longer than the limit.
func (r extensionRow) over() bool { return len(r.body) == rowLimits.MaxMessageLength+1 }

// wantAfter checks the consequence of the row's frames.
func (r extensionRow) wantAfter(p *peer, why string, want rowAnswer) {
	p.t.Helper()
	if want == rowEnds {
		p.wantClosed(why)
		return
	}
	p.want(why, r.answers(want)...)
	p.wantNothing("after " + why)
}

// A server in each state reads each frame twice in a row.
func TestServerReadsExtensions(t *testing.T) {
	for _, row := range extensionRows() {
		for _, state := range []negotiationState{plain, offered, extended} {
			want := row.atServer
			switch {
			case state == offered && row.typ == messageTypeSettings && row.flags.has(flagAck):
				want = rowIgnored
			case state != extended:
				want = rowRefused // as by releases
			case row.feature != 0 && !ownFeatures.has(row.feature):
				want = rowIgnored
			}
			bubble(t, func(t *testing.T) { serverReads(t, row, state, want) })
		}
	}
}

func serverReads(t *testing.T, row extensionRow, state negotiationState, want rowAnswer) {
	name := fmt.Sprintf("%s, %v", row.name, state)
	st, p := serverPeer(t, WithServerLimits(row.limits()))
	first := request(rowOver, "Echo", 0, text("over"))
	if state == plain {
		p.send(first)
	} else {
		p.send(offeringRequest(first))
		own := defaultConnConfig.settings()
		own.maxMessage = uint32(st.server.cfg.conn.maxLength)
		p.want(name, settingsOf(own))
	}
	p.want(name, response(rowOver, text("over")))
	if state == extended {
		p.send(ack)
	}
	held := st.start(p, request(rowRuns, "Hold", 0, text("x")))
	for i := 0; i < 2 && (i == 0 || want != rowEnds); i++ {
		p.send(row.frame())
		if row.over() && want == rowRefused {
			p.wantStatus(name, 0, codes.ResourceExhausted)
			p.wantNothing(name)
			continue
		}
		row.wantAfter(p, name, want)
	}
	if want == rowEnds {
		if held.ctx.Err() == nil {
			t.Errorf("%s: the handler runs on", name)
		}
		return
	}
	if held.ctx.Err() != nil {
		t.Errorf("%s: the context of another call has ended", name)
	}
	p.alive(name, 5)
	held.returns(text("held"), nil)
	p.want(name, response(rowRuns, text("held")))
}

// A client in each state reads each frame twice in a row.
func TestClientReadsExtensions(t *testing.T) {
	for _, row := range extensionRows() {
		for _, state := range []negotiationState{plain, offering, extended} {
			want := row.atClient
			switch {
			case state == offering && row.name == "settings":
				want = rowAck
			case state != extended, row.feature != 0 && !ownFeatures.has(row.feature):
				want = rowIgnored
			}
			bubble(t, func(t *testing.T) { clientReads(t, row, state, want) })
		}
	}
}

func clientReads(t *testing.T, row extensionRow, state negotiationState, want rowAnswer) {
	name := fmt.Sprintf("%s, %v", row.name, state)
	c, p := clientPeer(t, WithClientLimits(row.limits()))
	over := goCall(t, context.Background(), c, text("over"))
	p.wantRequest(name, rowOver, 0)
	switch state {
	case plain:
		p.send(response(rowOver, text("over")))
		over.wantValue(name, "over")
	case extended:
		p.send(settingsOf(scriptSettings), response(rowOver, text("over")))
		p.want(name, ack)
		over.wantValue(name, "over")
	}
	runs := goCall(t, context.Background(), c, text("runs"))
	p.wantRequest(name, rowRuns, 0)
	for i := 0; i < 2 && (i == 0 || want != rowEnds); i++ {
		p.send(row.frame())
		row.wantAfter(p, name, want)
		if want == rowAck {
			want = rowIgnored
		}
	}
	if want == rowEnds {
		if err := runs.err(name); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: the call got %v, want ErrClosed and ErrProtocol", name, err)
		}
		return
	}
	runs.wantPending(name)
	p.send(response(rowRuns, text("ran")))
	runs.wantValue(name, "ran")
	last := goCall(t, context.Background(), c, text("last"))
	if row.typ == messageTypeGoaway && state == extended && !row.over() {
		time.Sleep(lingerLimit)
		if err := last.err(name); err != ErrDraining {
			t.Errorf("%s: a new call got %v, want ErrDraining", name, err)
		}
		return
	}
	p.wantRequest(name, 5, 0)
	p.send(response(5, text("last")))
	last.wantValue(name, "last")
}

// An offer that is not valid Settings counts as absent, in every state, and the request is
// served.
func TestServerReadsBadOffers(t *testing.T) {
	offers := map[string]string{
		"no bytes":                          "",
		"version 0":                         "\x08\x00\x10\x1f",
		"no version":                        "\x10\x1f",
		"a cut varint":                      "\x08",
		"a cut field":                       "\x08\x01\x12",
		"a varint of 11 bytes":              "\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"the number 0":                      "\x08\x01\x00\x01",
		"a version of another type":         "\x0d\x01\x00\x00\x00",
		"an end of a group without a start": "\x08\x01\x0c",
	}
	for name, body := range offers {
		bubble(t, func(t *testing.T) {
			_, p := serverPeer(t)
			req := request(1, "Echo", 0, text("x"))
			req.body = protowire.AppendTag(req.body, requestOffer, protowire.BytesType)
			req.body = protowire.AppendBytes(req.body, []byte(body))
			p.send(req)
			p.want(name, response(1, text("x")))
			p.send(offeringRequest(request(3, "Echo", 0, text("y"))))
			p.want("a good offer after "+name, settingsOf(defaultConnConfig.settings()), response(3, text("y")))
			p.send(ack)
			req.id = 5
			p.send(req)
			p.want(name+" in the state ON", response(5, text("x")))
		})
	}
}
