package ttrpc

import "testing"

// Metadata that cannot be sent leaves no buffer behind.
func TestBadMetadataFrame(t *testing.T) {
	keepLedger(t, func() {
		if _, err := metadataFrame(1, 0, MD{"k": {"\xff"}}); err == nil {
			t.Error("no error for text that is not UTF-8")
		}
	})
}
