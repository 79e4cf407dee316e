//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
	"testing/synctest"
)

var (
	bidi       = &StreamDesc{StreamingClient: true, StreamingServer: true}
	fromClient = &StreamDesc{StreamingClient: true}
	fromServer = &StreamDesc{StreamingServer: true}
)

// open opens a stream to EchoStream; m is a proto.Message or nil.
func open(t *testing.T, ctx context.Context, c *Client, desc *StreamDesc, m any) ClientStream {
	t.Helper()
	cs, err := c.NewStream(ctx, desc, testService, "EchoStream", m)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// wantMsg checks the next message of a stream, which must be there.
func wantMsg(t *testing.T, cs ClientStream, why, value string) {
	t.Helper()
	if m, err := recvNow(cs); err != nil || m.Value != value {
		t.Fatalf("%s: received %.80q, %v, want %.80q", why, m.Value, err, value)
	}
}

// wantEnd checks that the stream has ended with err, twice.
func wantEnd(t *testing.T, cs ClientStream, why string, want error) {
	t.Helper()
	for i := 0; i < 2; i++ {
		if m, err := recvNow(cs); err != want {
			t.Fatalf("%s: received %.80q, %v, want %v", why, m.Value, err, want)
		}
	}
}

// clientPeer returns a client whose server is a script.
func clientPeer(t *testing.T, opts ...ClientOpts) (*Client, *peer) {
	t.Helper()
	near, far := memPipe(0)
	c := NewClient(near, opts...)
	t.Cleanup(func() {
		c.Close()
		if err := c.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, &peer{t: t, conn: far}
}

// clientCall is a running unary call.
type clientCall struct {
	t      *testing.T
	resp   KeyValue
	result chan error
}

// goCall starts a call to Echo.
func goCall(t *testing.T, ctx context.Context, c *Client, m any) *clientCall {
	call := &clientCall{t: t, result: make(chan error, 1)}
	go func() { call.result <- c.Call(ctx, testService, "Echo", m, &call.resp) }()
	return call
}

// err returns the error of the call, which must have returned.
func (c *clientCall) err(why string) error {
	c.t.Helper()
	synctest.Wait()
	select {
	case err := <-c.result:
		return err
	default:
		c.t.Fatalf("%s: the call has not returned", why)
		return nil
	}
}

// wantValue checks that the call succeeded.
func (c *clientCall) wantValue(why, value string) {
	c.t.Helper()
	if err := c.err(why); err != nil || c.resp.Value != value {
		c.t.Fatalf("%s: the call returned %q, %v, want %q", why, c.resp.Value, err, value)
	}
}

// wantPending checks that the call has not returned.
func (c *clientCall) wantPending(why string) {
	c.t.Helper()
	synctest.Wait()
	select {
	case err := <-c.result:
		c.t.Fatalf("%s: the call returned %v", why, err)
	default:
	}
}
