//go:build go1.25

package ttrpc

import (
	"context"
	"strings"
	"testing"
)

// The most metadata that a response may have does not fail its call.
func TestClientTakesMostMetadata(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClient(c)
		var r ResponseMetadata
		call := goCall(t, WithResponseMetadata(context.Background(), &r), c, text("x"))
		p.next("a call")
		most := MD{"k": {strings.Repeat("v", maxResponseMetadata-metadataOverhead-1)}}
		p.send(metadataOf(3, metadataHeader, most), response(3, text("y")))
		call.wantValue("the most metadata", "y")
		wantMetadata(t, "the most metadata", &r, most, nil)
	})
}

// Metadata that no caller asks for is counted and not kept.
func TestUnwantedMetadata(t *testing.T) {
	view, err := parseResponseMetadata(metadataOf(3, metadataHeader, MD{"k": {"v"}}).body)
	if err != nil {
		t.Fatal(err)
	}
	rcv := receivedMetadata{unwanted: true}
	if size, err := rcv.add(view); size != metadataOverhead+2 || err != nil {
		t.Errorf("got %d bytes, %v", size, err)
	}
	if md := rcv.get(metadataHeader); md != nil {
		t.Errorf("%v is kept", md)
	}
}
