package ttrpc

import (
	"context"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Messages that protobuf-go can encode are encoded by it, as in released versions,
// unless an option says otherwise: vtprotobuf's methods do not check strings.
func TestVTProtobuf(t *testing.T) {
	for _, test := range []struct {
		name           string
		client, server bool
	}{{"neither", false, false}, {"client", true, false}, {"server", false, true}, {"both", true, true}} {
		var decoded, encoded *vtMessage
		desc := &ServiceDesc{
			Methods: map[string]Method{"Echo": func(_ context.Context, um func(any) error) (any, error) {
				decoded, encoded = newVTMessage("left over", "left over"), newVTMessage("k", "v")
				return encoded, um(decoded)
			}},
			Streams: map[string]Stream{"EchoStream": {StreamingClient: true, StreamingServer: true,
				Handler: func(_ context.Context, s StreamServer) (any, error) {
					decoded, encoded = newVTMessage("left over", "left over"), newVTMessage("k", "v")
					if err := s.RecvMsg(decoded); err != nil {
						return nil, err
					}
					return nil, s.SendMsg(encoded)
				}}},
		}
		var serverOpts []ServerOpt
		var clientOpts []ClientOpts
		if test.server {
			serverOpts = append(serverOpts, WithServerVTProtobuf(), WithServerLimits(Limits{}))
		}
		if test.client {
			clientOpts = append(clientOpts, WithClientVTProtobuf(), WithClientLimits(Limits{}))
		}
		_, addr := newTestServer(t, desc, serverOpts...)
		c := dialTest(t, addr, clientOpts...)
		check := func(kind string, req, resp *vtMessage) {
			t.Helper()
			for what, m := range map[string]struct {
				*vtMessage
				option bool
				want   string
			}{
				"request sent":      {req, test.client, "MarshalToSizedBufferVT"},
				"request received":  {decoded, test.server, "UnmarshalVT"},
				"response sent":     {encoded, test.server, "MarshalToSizedBufferVT"},
				"response received": {resp, test.client, "UnmarshalVT"},
			} {
				if !m.option {
					m.want = ""
				}
				if m.used != m.want || m.Key != "k" || m.Value != "v" {
					t.Errorf("%s, option of %s: the %s: %v by %q, want %q", kind, test.name, what, m.KeyValue, m.used, m.want)
				}
			}
		}
		req, resp := newVTMessage("k", "v"), newVTMessage("left over", "left over")
		if err := c.Call(testContext(t), testService, "Echo", req, resp); err != nil {
			t.Fatal(err)
		}
		check("call", req, resp)
		req, resp = newVTMessage("k", "v"), newVTMessage("left over", "left over")
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", req)
		if err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(resp); err != nil {
			t.Fatal(err)
		}
		check("stream", req, resp)
	}
}

func TestSuitsVT(t *testing.T) {
	for m, want := range map[proto.Message]bool{
		&Request{}: true, &Response{}: true, &spb.Status{}: true, newVTMessage("", ""): true,
		&structpb.Struct{}:             false, // recursive
		&structpb.ListValue{}:          false,
		&descriptorpb.FieldOptions{}:   false, // has extensions
		&descriptorpb.ServiceOptions{}: false,
	} {
		for i := 0; i < 2; i++ { // looked at, and remembered
			if got := suitsVT(m); got != want {
				t.Errorf("%T: got %v, want %v", m, got, want)
			}
		}
	}
}
