package ttrpc

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A ledger knows the owner of each buffer. While a test has a ledger open, the ledger
// records every buffer that is taken, and the largest number of bytes in use at once.
//
// Released buffers are overwritten, with or without a ledger: a late reader gets nonsense,
// and the race detector reports it.
type ledger struct {
	mu    sync.Mutex
	owned map[*buffer][]uintptr // the stack of its owner
	bytes int                   // of all that are owned, by capacity
	peak  int                   // the highest value of bytes
}

var openLedger atomic.Pointer[ledger]

// poison fills released buffers. As a header it is that of a frame of unknown type that is
// too long for any limit.
const poison = 0xdb

func init() { bufferHook = recordBuffer }

func recordBuffer(b *buffer, owned bool) {
	if !owned {
		for i := range b.b {
			b.b[i] = poison
		}
	}
	l := openLedger.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if owned {
		pcs := make([]uintptr, 6)
		l.owned[b] = pcs[:runtime.Callers(3, pcs)]
		l.bytes += cap(b.b)
		l.peak = max(l.peak, l.bytes)
		return
	}
	if _, ok := l.owned[b]; ok { // else it was taken before the ledger was opened
		delete(l.owned, b)
		l.bytes -= cap(b.b)
	}
}

// keepLedger runs f and fails the test if a buffer that was taken meanwhile is not released
// at the end. Background work of the test counts, too. It returns the largest number of
// bytes in use at once.
func keepLedger(t testing.TB, f func()) (peak int) {
	t.Helper()
	l := &ledger{owned: make(map[*buffer][]uintptr)}
	if !openLedger.CompareAndSwap(nil, l) {
		t.Fatal("there is a ledger already: such tests cannot run in parallel")
	}
	defer openLedger.Store(nil)
	f()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owned) > 0 {
		t.Errorf("%d buffers were not released:\n%s", len(l.owned), l.describeLocked())
	}
	return l.peak
}

// describeLocked lists the owners of the buffers in use.
func (l *ledger) describeLocked() string {
	places := make(map[string]int)
	for _, pcs := range l.owned {
		var place strings.Builder
		for frames := runtime.CallersFrames(pcs); ; {
			frame, more := frames.Next()
			fmt.Fprintf(&place, " < %s:%d", frame.Function[strings.LastIndexByte(frame.Function, '/')+1:], frame.Line)
			if !more {
				break
			}
		}
		places[place.String()]++
	}
	var list strings.Builder
	for place, n := range places {
		fmt.Fprintf(&list, "%6d taken by%s\n", n, strings.TrimPrefix(place, " <"))
	}
	return list.String()
}
