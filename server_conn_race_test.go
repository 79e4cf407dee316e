package ttrpc

import (
	"context"
	"math/rand"
	"sync"
	"testing"
)

// Connections that come and go, in every way, leave the server's table (5, 11).
func TestRaceClosedConns(t *testing.T) {
	s, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()))
	const dialers = 4
	together(times(dialers, func(d int) {
		rnd := rand.New(rand.NewSource(int64(d)))
		for n := rounds(1000) / dialers; n >= 0; n-- {
			nc, err := dialLocal(addr)
			if err != nil {
				t.Error(err)
				return
			}
			switch rnd.Intn(5) {
			case 0: // nothing
			case 1: // a part of a frame
				nc.Write(make([]byte, 1+rnd.Intn(headerLength)))
			case 2: // no frame
				nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			case 3: // a call that is not waited for
				newWire(nc).request(1, "Echo", 0, &KeyValue{Value: "x"})
			case 4:
				c := NewClient(nc)
				if err := echo(context.Background(), c, "x"); err != nil {
					t.Error(err)
				}
				c.Close()
				continue
			}
			nc.Close()
		}
	})...)
	serverIdle(t, s)
}

// A response that comes together with the close of the connection is not lost, and
// calls without one get ErrClosed (14).
func TestRaceReplyThenClose(t *testing.T) {
	l := listenWire(t)
	payload := mustMarshal(&KeyValue{Value: "v"})
	for round := rounds(300); round > 0; round-- {
		c, w := l.connect(t)
		answered := 1 + round%3
		unanswered := round % 2
		var results []<-chan error
		var values []*KeyValue
		for i := 0; i < answered+unanswered; i++ {
			m := &KeyValue{}
			values = append(values, m)
			if i%2 == 0 {
				results = append(results, goErr(func() error {
					return c.Call(context.Background(), testService, "Echo", &KeyValue{}, m)
				}))
				w.readRequest() // one after another: the ids are 1, 3, 5
				continue
			}
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
			if err != nil {
				t.Fatal(err)
			}
			w.readRequest()
			results = append(results, goErr(func() error { return cs.RecvMsg(m) }))
		}
		var senders sync.WaitGroup
		for i := round / 2 % 3; i > 0; i-- { // their writes fail before the responses are read
			senders.Add(1)
			go func() {
				defer senders.Done()
				for {
					if err := echo(context.Background(), c, "x"); err != nil {
						if err != ErrClosed {
							t.Errorf("a call beside those: got %v, want ErrClosed", err)
						}
						return
					}
				}
			}()
		}
		for i := 0; i < answered; i++ {
			w.respond(streamID(2*i+1), &Response{Payload: payload})
		}
		w.Close()
		for i, result := range results {
			err := within(t, "call", result)
			if i < answered && (err != nil || values[i].Value != "v") {
				t.Fatalf("round %d, call %d: got %v, %v: the response is lost", round, i, values[i], err)
			}
			if i >= answered && err != ErrClosed {
				t.Fatalf("round %d, call %d without a response: got %v, want ErrClosed", round, i, err)
			}
		}
		senders.Wait()
		c.Close()
	}
}
