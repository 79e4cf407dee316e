package ttrpc

import (
	"fmt"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// This file encodes and decodes google.rpc.Status and the google.protobuf.Any in it. A
// program may replace genproto by a version whose Status is not a message of protobuf-go,
// so the package uses only the three fields of that type. The type of a detail has a
// different name in that version: the code here infers the type and never names it.
//
// The encoding is that of the protobuf runtime, as in envelope.go, except that unknown
// fields are dropped: the three fields have no place for them.

const (
	statusCode    protowire.Number = 1
	statusMessage protowire.Number = 2
	statusDetails protowire.Number = 3

	anyTypeURL protowire.Number = 1
	anyValue   protowire.Number = 2
)

// detailOverhead is the cost of a detail besides its bytes, like metadataOverhead for an
// entry of metadata: the Any, its place in the slice, and the rounding up of its two
// fields. TestDetailsCost.
const detailOverhead = 128

// maxDetails returns the largest number of details in the status of a response: their
// overhead costs at most as many bytes as the longest message has. The length of the
// message bounds the bytes of the details themselves.
func maxDetails(maxLength int) int { return maxLength / detailOverhead }

// detail is an Any, of either version of genproto.
type detail interface {
	GetTypeUrl() string
	GetValue() []byte
}

// sizeStatus returns the encoded length of status in bytes.
func sizeStatus(status *spb.Status) int {
	n := sizeStringField(status.Message)
	if status.Code != 0 {
		n += 1 + protowire.SizeVarint(uint64(status.Code))
	}
	for _, d := range status.Details {
		n += 1 + protowire.SizeBytes(sizeDetail(d))
	}
	return n
}

func sizeDetail(d detail) int {
	n := sizeStringField(d.GetTypeUrl())
	if len(d.GetValue()) > 0 {
		n += 1 + protowire.SizeBytes(len(d.GetValue()))
	}
	return n
}

// appendStatus appends the encoding of status to b. It fails for strings that are not
// UTF-8.
func appendStatus(b []byte, status *spb.Status) ([]byte, error) {
	if status.Code != 0 {
		b = protowire.AppendTag(b, statusCode, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(status.Code))
	}
	if !utf8.ValidString(status.Message) {
		return nil, fmt.Errorf("message: %w", errInvalidUTF8)
	}
	b = appendStringField(b, statusMessage, status.Message)
	for i, d := range status.Details {
		if !utf8.ValidString(d.GetTypeUrl()) {
			return nil, fmt.Errorf("type URL of detail %d: %w", i+1, errInvalidUTF8)
		}
		b = protowire.AppendTag(b, statusDetails, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeDetail(d)))
		b = appendStringField(b, anyTypeURL, d.GetTypeUrl())
		if len(d.GetValue()) > 0 {
			b = protowire.AppendTag(b, anyValue, protowire.BytesType)
			b = protowire.AppendBytes(b, d.GetValue())
		}
	}
	return b, nil
}

// mergeStatus decodes b into status. Fields that b lacks keep their values, and status
// does not point into b. If status would get more than most details in total, the error
// is ResourceExhausted, as for too much metadata.
func mergeStatus(status *spb.Status, b []byte, most int) error {
	for len(b) > 0 {
		f, err := consumeField(&b)
		if err != nil {
			return err
		}
		switch {
		case f.num == statusCode && f.typ == protowire.VarintType:
			status.Code = int32(f.varint)
		case f.num == statusMessage && f.typ == protowire.BytesType:
			status.Message, err = string(f.bytes), validUTF8(f.bytes)
		case f.num == statusDetails && f.typ == protowire.BytesType:
			if len(status.Details) >= most {
				return withCode(codes.ResourceExhausted, fmt.Errorf("more than %d details", most))
			}
			var url string
			var value []byte
			if url, value, err = parseDetail(f.bytes); err == nil {
				d := addNew(&status.Details)
				d.TypeUrl, d.Value = url, value
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseDetail decodes an Any into memory of its own.
func parseDetail(b []byte) (url string, value []byte, err error) {
	for len(b) > 0 {
		f, err := consumeField(&b)
		if err != nil {
			return "", nil, err
		}
		switch {
		case f.num == anyTypeURL && f.typ == protowire.BytesType:
			url, err = string(f.bytes), validUTF8(f.bytes)
		case f.num == anyValue && f.typ == protowire.BytesType:
			value = append([]byte(nil), f.bytes...)
		}
		if err != nil {
			return "", nil, err
		}
	}
	return url, value, nil
}

// addNew appends a new element to list and returns it.
func addNew[T any](list *[]*T) *T {
	element := new(T)
	*list = append(*list, element)
	return element
}
