package ttrpc

import (
	"errors"
	"fmt"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// This file encodes and decodes Request and Response (request.proto) without building
// them: the message of a call is encoded into the buffer of its frame and decoded from it
// directly. The encoder writes the same bytes as the protobuf runtime, and the decoder
// accepts the same: it skips unknown fields and known fields of another wire type, strings
// must be UTF-8, and the last of several values wins. See PROTOCOL.md, "Envelope".

const (
	requestService  protowire.Number = 1
	requestMethod   protowire.Number = 2
	requestPayload  protowire.Number = 3
	requestTimeout  protowire.Number = 4
	requestMetadata protowire.Number = 5

	keyValueKey   protowire.Number = 1
	keyValueValue protowire.Number = 2

	responseStatus  protowire.Number = 1
	responsePayload protowire.Number = 2
)

// statusOK is an empty status in field 1 of Response. Every successful response has it,
// because the client of June 2019 takes a response without a status for an error.
var statusOK = []byte{1<<3 | 2, 0}

var (
	errInvalidUTF8  = errors.New("string field contains invalid UTF-8")
	errInvalidField = errors.New("invalid field number")
)

// requestEnvelope has the fields of a request around its message.
type requestEnvelope struct {
	service, method string
	payload         payload
	timeout         int64 // nanoseconds; 0 is none
	metadata        MD
	pairs           []*KeyValue // used instead of metadata when it is not nil
}

// size returns the encoded length in bytes.
func (re *requestEnvelope) size() int {
	n := sizeStringField(re.service) + sizeStringField(re.method) + re.payload.sizeField()
	if re.timeout != 0 {
		n += 1 + protowire.SizeVarint(uint64(re.timeout))
	}
	re.eachPair(func(key, value string) error {
		n += 1 + protowire.SizeBytes(sizePair(key, value))
		return nil
	})
	return n
}

// append appends the encoding to b, which should have room for it.
func (re *requestEnvelope) append(b []byte) ([]byte, error) {
	if !utf8.ValidString(re.service) || !utf8.ValidString(re.method) {
		return nil, fmt.Errorf("ttrpc: encode request: service or method: %w", errInvalidUTF8)
	}
	b = appendStringField(b, requestService, re.service)
	b = appendStringField(b, requestMethod, re.method)
	b, err := re.payload.appendField(b, requestPayload)
	if err != nil {
		return nil, err
	}
	if re.timeout != 0 {
		b = protowire.AppendTag(b, requestTimeout, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(re.timeout))
	}
	err = re.eachPair(func(key, value string) (err error) {
		b, err = appendPair(b, requestMetadata, key, value)
		return err
	})
	return b, err
}

// eachPair calls f for each metadata entry until f fails.
func (re *requestEnvelope) eachPair(f func(key, value string) error) error {
	for _, kv := range re.pairs {
		if err := f(kv.GetKey(), kv.GetValue()); err != nil {
			return err
		}
	}
	if re.pairs != nil {
		return nil
	}
	for key, values := range re.metadata {
		for _, value := range values {
			if err := f(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func sizePair(key, value string) int { return sizeStringField(key) + sizeStringField(value) }

// sizeStringField returns the encoded length of a string field with a number below 16,
// whose tag is one byte.
func sizeStringField(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func appendStringField(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// requestView is a decoded request. Its byte slices point into the frame and are valid as
// long as the frame.
type requestView struct {
	service, method []byte
	payload         []byte
	payloadEnd      int // offset in the frame
	hasPayload      bool
	timeout         int64  // nanoseconds; 0 is none
	offer           []byte // of extensions: see parseSettings; nil for none
	metadataCollector
}

// metadataCollector collects the metadata of a request or response.
type metadataCollector struct {
	metadata     MD
	metadataSize int // bytes of all keys and values, and metadataOverhead for each entry
}

// hasMessage reports whether the request of a client-streaming call carries the first
// message. A payload of no bytes is no message if the flags say so.
func (rv *requestView) hasMessage(fl flags) bool {
	return rv.hasPayload && (len(rv.payload) > 0 || !fl.has(flagNoData))
}

// parse decodes b. It keeps at most maxMetadata bytes of metadata; metadataSize counts all
// of it.
func (rv *requestView) parse(b []byte, maxMetadata int) error {
	length := len(b)
	for len(b) > 0 {
		f, err := consumeField(&b)
		if err != nil {
			return fmt.Errorf("decode request: %w", err)
		}
		switch {
		case f.num == requestService && f.typ == protowire.BytesType:
			rv.service, err = f.bytes, validUTF8(f.bytes)
		case f.num == requestMethod && f.typ == protowire.BytesType:
			rv.method, err = f.bytes, validUTF8(f.bytes)
		case f.num == requestPayload && f.typ == protowire.BytesType:
			rv.payload, rv.hasPayload = f.bytes, true
			rv.payloadEnd = length - len(b)
		case f.num == requestTimeout && f.typ == protowire.VarintType:
			rv.timeout = int64(f.varint)
		case f.num == requestMetadata && f.typ == protowire.BytesType:
			err = rv.parsePair(f.bytes, maxMetadata)
		case f.num == requestOffer && f.typ == protowire.BytesType:
			rv.offer = f.bytes
		}
		if err != nil {
			return fmt.Errorf("decode request: %w", err)
		}
	}
	return nil
}

// parsePair decodes a KeyValue. It keeps at most maxMetadata bytes of all pairs together;
// metadataSize counts every pair.
func (mcol *metadataCollector) parsePair(b []byte, maxMetadata int) error {
	var key, value []byte
	for len(b) > 0 {
		f, err := consumeField(&b)
		if err != nil {
			return err
		}
		switch {
		case f.num == keyValueKey && f.typ == protowire.BytesType:
			key, err = f.bytes, validUTF8(f.bytes)
		case f.num == keyValueValue && f.typ == protowire.BytesType:
			value, err = f.bytes, validUTF8(f.bytes)
		}
		if err != nil {
			return err
		}
	}
	mcol.metadataSize += len(key) + len(value) + metadataOverhead
	if mcol.metadataSize > maxMetadata {
		return nil
	}
	if mcol.metadata == nil {
		mcol.metadata = MD{}
	}
	// Append would search all keys for other spellings each time.
	k := foldKey(string(key))
	mcol.metadata[k] = append(mcol.metadata[k], string(value))
	return nil
}

// sizeResponse returns the encoded length of a response. status is the encoded field with
// its tag and length.
func sizeResponse(status []byte, p *payload) int { return len(status) + p.sizeField() }

// appendResponse appends the encoding of a response to b.
func appendResponse(b, status []byte, p *payload) ([]byte, error) {
	return p.appendField(append(b, status...), responsePayload)
}

// responseView is a decoded response; payload is valid as long as the frame.
type responseView struct {
	status  *spb.Status // nil if there is none or it is empty, which means success
	payload []byte
}

// parseResponse decodes b. It refuses a status with more than most details.
func parseResponse(b []byte, most int) (r responseView, err error) {
	for len(b) > 0 {
		f, err := consumeField(&b)
		if err != nil {
			return r, fmt.Errorf("ttrpc: decode response: %w", err)
		}
		switch {
		case f.num == responseStatus && f.typ == protowire.BytesType:
			if len(f.bytes) == 0 {
				continue
			}
			if r.status == nil {
				r.status = &spb.Status{}
			}
			// As protobuf requires, a message field that occurs twice is merged.
			if err := mergeStatus(r.status, f.bytes, most); err != nil {
				return r, fmt.Errorf("ttrpc: decode response: status: %w", err)
			}
		case f.num == responsePayload && f.typ == protowire.BytesType:
			r.payload = f.bytes
		}
	}
	return r, nil
}

// field is a decoded field. Its type decides whether bytes, varint or neither is set.
type field struct {
	num    protowire.Number
	typ    protowire.Type
	bytes  []byte
	varint uint64
}

// consumeField removes the first field of *b and returns it.
func consumeField(b *[]byte) (f field, err error) {
	num, typ, n := protowire.ConsumeTag(*b)
	if n < 0 {
		return f, protowire.ParseError(n)
	}
	if num > protowire.MaxValidNumber { // ConsumeTag accepts such numbers
		return f, errInvalidField
	}
	rest := (*b)[n:]
	f.num, f.typ = num, typ
	switch typ {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(rest)
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(rest)
	default:
		n = protowire.ConsumeFieldValue(num, typ, rest)
	}
	if n < 0 {
		return f, protowire.ParseError(n)
	}
	*b = rest[n:]
	return f, nil
}

// validUTF8 returns an error if b is not UTF-8.
func validUTF8(b []byte) error {
	if !utf8.Valid(b) {
		return errInvalidUTF8
	}
	return nil
}
