//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The request of a stream says whether the client will send messages.
func TestClientOpensStream(t *testing.T) {
	withEmpty := request(1, "EchoStream", flagRemoteOpen, nil)
	withEmpty.body = append(withEmpty.body, 3<<3|2, 0)
	for _, test := range []struct {
		name string
		desc *StreamDesc
		m    any
		want rawFrame
	}{
		{"client's, no message yet", fromClient, nil, request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)},
		{"both, no message yet", bidi, nil, request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)},
		{"both, with a message", bidi, text("first"), request(1, "EchoStream", flagRemoteOpen, text("first"))},
		{"both, with an empty message", bidi, text(""), withEmpty},
		{"server's", fromServer, text("only"), request(1, "EchoStream", flagRemoteClosed, text("only"))},
		{"server's, an empty request", fromServer, text(""), request(1, "EchoStream", flagRemoteClosed, text(""))},
	} {
		test := test
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t, WithClientExtensions(false))
				open(t, context.Background(), c, test.desc, test.m)
				p.want("the request", test.want)
				p.wantNothing("nothing more")
				c.Close()
			})
		})
	}
}

func TestClientSends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		for _, value := range []string{"one", "", "three"} {
			if err := cs.SendMsg(text(value)); err != nil {
				t.Fatal(err)
			}
			p.want("a message", data(1, 0, text(value)))
		}
		if err := cs.CloseSend(); err != nil {
			t.Fatal(err)
		}
		p.want("CloseSend", data(1, flagRemoteClosed|flagNoData, nil))
		if err := cs.CloseSend(); err != ErrStreamClosed {
			t.Errorf("CloseSend again: got %v, want ErrStreamClosed", err)
		}
		if err := cs.SendMsg(text("x")); err != ErrStreamClosed {
			t.Errorf("SendMsg after CloseSend: got %v, want ErrStreamClosed", err)
		}
		p.wantNothing("after the last message")
		p.send(data(1, 0, text("still")), data(1, flagRemoteClosed|flagNoData, nil))
		wantMsg(t, cs, "after CloseSend", "still")
		wantEnd(t, cs, "the end", io.EOF)
	})
}

func TestClientDoesNotSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, fromServer, text("x"))
		p.next("the request")
		if err := cs.SendMsg(text("x")); !errors.Is(err, ErrProtocol) {
			t.Errorf("SendMsg on a server's stream: got %v, want ErrProtocol", err)
		}
		if err := cs.CloseSend(); !errors.Is(err, ErrProtocol) {
			t.Errorf("CloseSend on a server's stream: got %v, want ErrProtocol", err)
		}
		p.wantNothing("nothing is sent")
		c.Close()
	})
}

// How a stream ends for the client: every way in which a server may say so.
func TestClientStreamEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		desc *StreamDesc
		last []rawFrame
		want []string
		end  error
	}{
		{"no data", bidi, []rawFrame{data(1, flagRemoteClosed|flagNoData, nil)}, nil, io.EOF},
		{"data", bidi, []rawFrame{data(1, flagRemoteClosed, text("last"))}, []string{"last"}, io.EOF},
		{"empty data", bidi, []rawFrame{data(1, flagRemoteClosed, nil)}, []string{""}, io.EOF},
		{"response", bidi, []rawFrame{response(1, text("last"))}, []string{"last"}, io.EOF},
		{"data, then response", bidi, []rawFrame{data(1, 0, text("a")), response(1, text("b"))}, []string{"a", "b"}, io.EOF},
		{"a Go server's SendMsg(nil)", bidi, []rawFrame{data(1, flagNoData, nil), data(1, flagRemoteClosed|flagNoData, nil)}, []string{""}, io.EOF},
		{"data without a message", bidi, []rawFrame{data(1, flagRemoteClosed|flagNoData, text("no"))}, nil, io.EOF},
		{"response to a client's stream", fromClient, []rawFrame{response(1, text("sum"))}, []string{"sum"}, io.EOF},
	} {
		test := test
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				cs := open(t, context.Background(), c, test.desc, nil)
				p.next("the request")
				p.send(test.last...)
				p.send(data(1, 0, text("after the end")), response(1, text("after the end")))
				synctest.Wait()
				wantNoStreams(t, c)
				if err := cs.SendMsg(text("x")); err != io.EOF {
					t.Errorf("SendMsg after the end: got %v, want io.EOF", err)
				}
				if err := cs.CloseSend(); err != nil {
					t.Errorf("CloseSend after the end: %v", err)
				}
				p.wantNothing("nothing is sent after the end")
				for _, want := range test.want {
					wantMsg(t, cs, "a message", want)
				}
				wantEnd(t, cs, "the end", test.end)
			})
		})
	}
}

func TestClientStreamFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		p.send(data(1, 0, text("first")), failure(1, codes.Aborted, "enough"), data(1, 0, text("late")))
		synctest.Wait()
		wantNoStreams(t, c)
		wantMsg(t, cs, "what came before the error", "first")
		for i := 0; i < 2; i++ {
			if _, err := recvNow(cs); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "enough" {
				t.Errorf("the error: got %v", err)
			}
		}
	})
}

// Data from a server that does not stream ends the stream for its receivers, even if the
// server has ended it as well, and for its senders.
func TestClientUnexpectedData(t *testing.T) {
	for _, test := range []struct {
		name   string
		frames []rawFrame
		send   error // of a message afterwards
	}{
		{"alone", []rawFrame{data(1, 0, text("x"))}, ErrProtocol},
		{"twice", []rawFrame{data(1, 0, text("x")), data(1, 0, text("y"))}, ErrProtocol},
		{"as the last", []rawFrame{data(1, flagRemoteClosed, text("x"))}, io.EOF},
		{"before the response", []rawFrame{data(1, 0, text("x")), response(1, text("y"))}, io.EOF},
	} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			cs := open(t, context.Background(), c, fromClient, nil)
			p.next("the request")
			p.send(test.frames...)
			synctest.Wait()
			for i := 0; i < 3; i++ {
				if _, err := recvNow(cs); !errors.Is(err, ErrProtocol) {
					t.Errorf("%s: RecvMsg %d: got %v, want ErrProtocol", test.name, i+1, err)
				}
			}
			wantNoStreams(t, c)
			if err := cs.SendMsg(text("more")); !errors.Is(err, test.send) {
				t.Errorf("%s: SendMsg: got %v, want %v", test.name, err, test.send)
			}
		})
	}
}

func TestClientBadMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		p.send(rawFrame{id: 1, typ: messageTypeData, body: []byte{0xff}}, data(1, flagRemoteClosed, text("good")))
		if _, err := recvNow(cs); err == nil || err == errNothingYet {
			t.Errorf("a message that is none: got %v", err)
		}
		wantMsg(t, cs, "the stream goes on", "good")
		wantEnd(t, cs, "the end", io.EOF)
	})
}
