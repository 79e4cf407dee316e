package ttrpc

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// notBegun reports whether err means that the server, which is shutting down, has not begun
// the call of c: the call may be made elsewhere.
func notBegun(c *Client, err error) bool {
	if errors.Is(err, ErrDraining) {
		return true
	}
	if !errors.Is(err, ErrClosed) {
		return false
	}
	<-c.Done()
	return errors.Is(c.Err(), ErrDraining)
}

// A drainTest has several servers, which shut down one after another under load.
type drainTest struct {
	ran     []atomic.Int32 // how often each call has run, by its number
	servers []*Server
	addrs   []string
	current atomic.Int32 // the first server that has not begun to shut down
	next    atomic.Int32 // the number of the next call
}

func newDrainTest(t *testing.T, servers, calls int) *drainTest {
	d := &drainTest{ran: make([]atomic.Int32, calls)}
	desc := echoMethods()
	desc.Methods["Count"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		var req KeyValue
		if err := unmarshal(&req); err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(req.Value)
		if err != nil {
			return nil, err
		}
		d.ran[n].Add(1)
		if n%50 == 0 {
			time.Sleep(time.Millisecond) // to be in flight
		}
		return &req, nil
	}
	for i := 0; i < servers; i++ {
		s, addr := newTestServer(t, desc)
		d.servers, d.addrs = append(d.servers, s), append(d.addrs, addr)
	}
	return d
}

// client returns a client of a server that has answered a call of the client.
func (d *drainTest) client(t *testing.T, server int) *Client {
	c := dialTest(t, d.addrs[server])
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the first call to server %d: %v", server, err)
	}
	return c
}

// run makes calls until none are left, on clients of each server.
func (d *drainTest) run(t *testing.T, clients []*Client) {
	ctx := testContext(t)
	each := len(d.ran) / len(d.servers)
	for server := 0; ; {
		n := int(d.next.Add(1)) - 1
		if n >= len(d.ran) {
			return
		}
		if n%each == each-1 && n < len(d.ran)-each { // the current server goes away, not the last
			s := d.servers[d.current.Add(1)-1]
			go s.Shutdown(ctx)
		}
		for {
			var resp KeyValue
			err := clients[server].Call(ctx, testService, "Count", &KeyValue{Value: strconv.Itoa(n)}, &resp)
			if err == nil {
				break
			}
			if !notBegun(clients[server], err) || server+1 == len(clients) {
				t.Errorf("call %d is lost on server %d: %v, at the end of %v", n, server, err, clients[server].Err())
				return
			}
			server++
		}
	}
}

// Shutdown loses no call of callers that repeat elsewhere each call which has not begun,
// and no call runs twice.
func TestShutdownLosesNoCall(t *testing.T) {
	calls, servers, callers := 10_000, 10, 16
	if testing.Short() && raceEnabled {
		calls = 2000
	}
	for name, shared := range map[string]bool{"one connection": true, "a connection each": false} {
		d := newDrainTest(t, servers, calls)
		clients := make([][]*Client, callers)
		for i := range clients {
			if i > 0 && shared {
				clients[i] = clients[0]
				continue
			}
			for server := range d.servers {
				clients[i] = append(clients[i], d.client(t, server))
			}
		}
		var wg sync.WaitGroup
		for i := range clients {
			clients := clients[i]
			wg.Add(1)
			go func() {
				defer wg.Done()
				d.run(t, clients)
			}()
		}
		wg.Wait()
		for n := range d.ran {
			if got := d.ran[n].Load(); got != 1 {
				t.Errorf("%s: call %d ran %d times", name, n, got)
			}
		}
	}
}
