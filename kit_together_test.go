package ttrpc

import (
	"net"
	"sync"
	"testing"
)

// The tests named TestRace… repeat races of earlier releases, over and over: see rounds. The
// numbers in their comments are those of the tables in doc_regressions_test.go.

// together runs functions at once and waits for all of them.
func together(funcs ...func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, f := range funcs {
		wg.Add(1)
		go func(f func()) {
			defer wg.Done()
			<-start
			f()
		}(f)
	}
	close(start)
	wg.Wait()
}

// times makes n functions of one.
func times(n int, f func(i int)) []func() {
	funcs := make([]func(), n)
	for i := range funcs {
		i := i
		funcs[i] = func() { f(i) }
	}
	return funcs
}

// wireListener accepts wires.
type wireListener struct{ net.Listener }

func listenWire(t testing.TB) *wireListener { return &wireListener{listen(t)} }

// connect returns a client and its server's end.
func (l *wireListener) connect(t testing.TB, opts ...ClientOpts) (*Client, *wire) {
	t.Helper()
	nc, err := dialLocal(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(nc, opts...), newWire(accepted)
}
