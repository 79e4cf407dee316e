package ttrpc

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields that this version does not know, of the same wire type as others, change nothing.
func TestUnknownBytesFields(t *testing.T) {
	unknown := func(b []byte) []byte {
		return protowire.AppendString(protowire.AppendTag(b, 99, protowire.BytesType), "unknown")
	}
	pair := protowire.AppendString(protowire.AppendTag(nil, keyValueKey, protowire.BytesType), "k")
	pair = protowire.AppendString(protowire.AppendTag(pair, keyValueValue, protowire.BytesType), "v")
	request := protowire.AppendBytes(protowire.AppendTag(nil, requestMetadata, protowire.BytesType), unknown(pair))
	var view requestView
	if err := view.parse(unknown(request), 1<<20); err != nil {
		t.Fatal(err)
	}
	if view.offer != nil {
		t.Errorf("the offer is %q", view.offer)
	}
	if got := strings.Join(view.metadata["k"], ","); got != "v" {
		t.Errorf("the metadata is %q", got)
	}
}

// Metadata of just the limit is kept.
func TestMetadataThatJustFits(t *testing.T) {
	pair := protowire.AppendString(protowire.AppendTag(nil, keyValueKey, protowire.BytesType), "k")
	for limit, want := range map[int]int{1 + metadataOverhead: 1, metadataOverhead: 0} {
		var all metadataCollector
		if err := all.parsePair(pair, limit); err != nil || len(all.metadata) != want {
			t.Errorf("limit %d: got %v, %v", limit, all.metadata, err)
		}
	}
}

// A request of just lateRequestLength is kept for a while after the end of its stream, if it
// has not been decoded.
func TestShortRequest(t *testing.T) {
	for length, want := range map[int]bool{lateRequestLength: true, lateRequestLength + 1: false} {
		var r callRequest
		r.init(nil, length, length)
		if r.streamEnded(); r.beginDecode() != want {
			t.Errorf("a request of %d bytes is kept: %v, want %v", length, !want, want)
		}
	}
}
