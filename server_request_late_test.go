//go:build go1.25

package ttrpc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A client that sends a request and leaves at once is served: its handler may decode the
// request for the first time within a second after the end, unless the request is long. A
// request that has been decoded is dropped at once.
func TestDecodeOfClientThatLeft(t *testing.T) {
	long := strings.Repeat("x", lateRequestLength)
	for name, test := range map[string]struct {
		value   string
		before  bool          // the handler decodes before the end, too
		after   time.Duration // from the end to the decode
		decodes bool
	}{
		"in time":          {"x", false, slowConsumerLimit - tick, true},
		"too late":         {"x", false, slowConsumerLimit + tick, false},
		"long":             {long, false, tick, false},
		"decoded before":   {"x", true, tick, false},
		"long, and before": {long, true, tick, false},
	} {
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			call := st.start(p, request(1, "Hold", 0, text(test.value)))
			decode := func() error { return call.unmarshal(&KeyValue{}) }
			if test.before {
				if err := decode(); err != nil {
					t.Errorf("%s: before the end: %v", name, err)
				}
			}
			p.conn.Close()
			synctest.Wait()
			time.Sleep(test.after)
			want := ErrClosed
			if test.decodes {
				want = nil
			}
			if err := decode(); err != want {
				t.Errorf("%s: after the end: got %v, want %v", name, err, want)
			}
			call.returns(nil, nil)
		})
	}
}
