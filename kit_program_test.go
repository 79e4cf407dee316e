//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"time"
)

// A programPlace is where a program runs.
type programPlace uint8

const (
	programInBubble programPlace = iota

	// programWithWindows is a bubble with extensions and small windows.
	programWithWindows

	// programOnSocket runs in real time: long waits last a hundredth of their time,
	// inboxes have room for everything, and the state that the model wants may take a
	// moment to appear.
	programOnSocket
)

func (p programPlace) String() string {
	return [...]string{"in a bubble", "with windows", "on a socket"}[p]
}

func (p programPlace) duration(d time.Duration) time.Duration {
	if p == programOnSocket {
		return d / 100
	}
	return d
}

func (p programPlace) limits() Limits {
	l := Limits{MaxMessageLength: 3000, MaxPendingWrite: 500}
	if p != programOnSocket {
		l.MaxStreamBuffer = programInbox
	}
	return l
}

// freeCost is the cost of the messages that a receiver may leave waiting without making the
// sender wait for the window: the receiver states a new limit after half of the window.
var freeCost = int(windowOf(programInbox)) / 2

// programInbox is the limit of a stream's inbox.
const programInbox = 2500

// programMethods answers with its input doubled, or with less if that is too long.
func programMethods(place programPlace) *ServiceDesc {
	double := func(m *KeyValue) *KeyValue { return text(m.Value + m.Value) }
	doubles := func(pause time.Duration) Stream {
		return Stream{StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			for {
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				var m KeyValue
				if err := ss.RecvMsg(&m); err == io.EOF {
					return nil, nil
				} else if err != nil {
					return nil, err
				}
				err := ss.SendMsg(double(&m))
				var tooLong *OversizedMessageErr
				if errors.As(err, &tooLong) {
					err = ss.SendMsg(text(tooLongToSend))
				}
				if err != nil {
					return nil, err
				}
			}
		}}
	}
	desc := echoMethods()
	desc.Methods["Double"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		var m KeyValue
		if err := unmarshal(&m); err != nil {
			return nil, err
		}
		return double(&m), nil
	}
	desc.Streams["Doubles"] = doubles(0)
	desc.Streams["Slow"] = doubles(place.duration(300 * time.Millisecond))
	return desc
}

// tooLongToSend replaces a message that the handler may not send.
const tooLongToSend = "too long"

// doubled is the model of Double.
func doubled(value string) string {
	if len(mustMarshal(text(value+value))) > 3000 {
		return tooLongToSend
	}
	return value + value
}

// programMessage is a message from its sending until it is received.
type programMessage struct {
	value   string // as the client receives it
	request string // as the server does; empty if it does not
}

// programStream is the model of a stream: the messages that are still to be received.
type programStream struct {
	cs        ClientStream
	cancel    context.CancelFunc
	pending   []programMessage
	server    bool // the client does not send
	closed    bool // the client sends no more
	cancelled bool
	slow      bool // its handler is
	late      bool // so much waits in it, or did, that it may have failed
	failed    bool // it has
}

// waits returns the least and the most that a stream's inbox holds besides the last message
// when nothing more is received.
func (ps *programStream) waits() (least, most int) {
	for i, m := range ps.pending {
		n := len(mustMarshal(text(m.value)))
		if i < len(ps.pending)-1 {
			least += n + inboxOverhead
		}
		n = max(n, len(mustMarshal(text(m.request))))
		most += bufferClassSize(bufferClass(n)) + inboxOverhead
	}
	return least, most
}

// held reports whether the handler may wait for the window.
func (ps *programStream) held() bool {
	cost := 0
	for i := 0; i < len(ps.pending)-1; i++ {
		cost += len(mustMarshal(text(ps.pending[i].value))) + dataOverhead
	}
	return cost >= freeCost
}

// orLate also allows the error of an unread stream.
func (ps *programStream) orLate(want func(error) bool) func(error) bool {
	return func(err error) bool { return want(err) || ps.late && isLate(err) }
}
