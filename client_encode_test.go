//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
)

// A request that cannot be encoded leaves no buffer behind: the bubble looks.
func TestUnencodedRequestIsReleased(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _ := clientPeer(t)
		if err := c.Call(context.Background(), testService, "Echo", &changingMessage{says: 10, is: 5}, &KeyValue{}); err == nil {
			t.Error("no error")
		}
	})
}
