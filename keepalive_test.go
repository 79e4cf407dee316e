package ttrpc

import (
	"fmt"
	"testing"
	"time"
)

func TestKeepalive(t *testing.T) {
	const s = int64(time.Second)
	type look struct {
		now, heard int64
		needed     bool
		want       verdict
		wait       time.Duration
	}
	for _, test := range []struct {
		name  string
		looks []look // of an interval of 10 s and a timeout of 5 s
	}{
		{"a peer that speaks is not asked", []look{
			{11 * s, 10 * s, true, peerLives, 9 * time.Second},
			{20 * s, 20*s - 1, true, peerLives, 10*time.Second - 1},
		}},
		{"a silent one is, and answers", []look{
			{11 * s, 1 * s, true, askPeer, 5 * time.Second},
			{16 * s, 12 * s, true, peerLives, 6 * time.Second},
			{22 * s, 12 * s, true, askPeer, 5 * time.Second},
		}},
		{"or does not", []look{
			{11 * s, 1 * s, true, askPeer, 5 * time.Second},
			{16*s - 1, 1 * s, true, peerLives, 1},
			{16 * s, 1 * s, true, peerDead, 5 * time.Second},
		}},
		{"without calls nobody asks", []look{
			{11 * s, 1 * s, false, peerLives, 10 * time.Second},
			{21 * s, 1 * s, true, askPeer, 5 * time.Second},
		}},
		{"a question stays open without calls", []look{
			{11 * s, 1 * s, true, askPeer, 5 * time.Second},
			{16 * s, 1 * s, false, peerDead, 5 * time.Second},
		}},
		{"a timer that fires early is set again", []look{
			{11 * s, 1 * s, true, askPeer, 5 * time.Second},
			{12 * s, 1 * s, true, peerLives, 4 * time.Second},
			{16 * s, 1 * s, true, peerDead, 5 * time.Second},
		}},
		{"a pause in reading counts as a sign of life", []look{
			{11 * s, 1 * s, true, askPeer, 5 * time.Second},
			{16 * s, 16 * s, true, peerLives, 10 * time.Second},
			{26 * s, 17 * s, true, peerLives, 1 * time.Second},
		}},
		{"a stopped process gives the peer its time again", []look{
			{11 * s, 1 * s, true, askPeer, 5 * time.Second},
			{90 * s, 1 * s, true, peerLives, 5 * time.Second},
			{95 * s, 1 * s, true, peerDead, 5 * time.Second},
		}},
	} {
		k := keepalive{interval: 10 * time.Second, timeout: 5 * time.Second}
		for i, l := range test.looks {
			if got, wait := k.look(l.now, l.heard, l.needed); got != l.want || wait != l.wait {
				t.Errorf("%s: look %d: got %v and %v, want %v and %v", test.name, i, got, wait, l.want, l.wait)
			}
		}
	}
}

// FuzzKeepalive watches a peer that sends something now and then and answers pings after a
// delay, until it dies. Each time this process is stopped, the timer and all reading are
// late.
func FuzzKeepalive(f *testing.F) {
	f.Add(uint16(100), uint16(50), uint16(10), uint16(0), uint32(1000), []byte{1, 2, 3})
	f.Add(uint16(10), uint16(80), uint16(79), uint16(200), uint32(70000), []byte{255, 0, 0, 255})
	f.Add(uint16(7), uint16(80), uint16(79), uint16(200), uint32(70000), []byte{}) // dies while a question is open
	f.Add(uint16(1), uint16(8), uint16(0), uint16(3), uint32(5), []byte{0, 1})
	f.Fuzz(func(t *testing.T, interval, timeout, delay, talk uint16, death uint32, stops []byte) {
		// Milliseconds, of which a timeout has at least 8.
		timeout = max(timeout, 8)
		if err := simulateKeepalive(int64(max(interval, 1)), int64(timeout), int64(delay%timeout), int64(talk), int64(death%200_000), stops); err != nil {
			t.Fatal(err)
		}
	})
}

func simulateKeepalive(interval, timeout, delay, talk, death int64, stops []byte) error {
	const ms = int64(time.Millisecond)
	k := keepalive{interval: time.Duration(interval * ms), timeout: time.Duration(timeout * ms)}
	heard, now, answer := int64(1), int64(1), int64(0)
	stopped := false
	end := death + 2*(interval+timeout) + 2
	for now < end {
		if answer != 0 && answer <= min(now, death) {
			heard = max(heard, answer)
		}
		if talk > 0 {
			heard = max(heard, min(now, death)/talk*talk)
		}
		v, wait := k.look(now*ms, heard*ms, true)
		switch {
		case wait <= 0:
			return fmt.Errorf("at %d: %v, and a wait of %v", now, v, wait)
		case v == peerDead && now <= death && answer <= death:
			return fmt.Errorf("at %d a peer that lives counts as dead", now)
		case v == peerDead:
			if most := max(heard, death) + interval + timeout + 2; !stopped && now > most {
				return fmt.Errorf("a peer that died at %d is noticed at %d", death, now)
			}
			return nil
		case v == askPeer:
			answer = now + delay
		}
		now += (int64(wait) + ms - 1) / ms
		if len(stops) > 0 {
			if stop := int64(stops[0]) * 16; stop > timeout/8 {
				stopped = true
				now += stop
				end += stop + timeout
			}
			stops = stops[1:]
		}
	}
	return fmt.Errorf("a peer that died at %d is not noticed until %d", death, now)
}
