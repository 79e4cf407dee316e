// Package genproto2020 tests statuses in a program that replaces genproto by a
// version of February 2020, as containerd 1.6 does, and grpc by one of that time
// as well, as hcsshim up to 0.11 does (hcsshim.mod). There google.rpc.Status is a
// message of golang/protobuf 1.3, which protobuf-go does not take.
package genproto2020

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/details"
	"github.com/gogo/protobuf/types"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "test.Statuses"

// fail returns errors of several kinds, by name.
func fail(name string) error {
	switch name {
	case "grpc":
		return status.Error(codes.NotFound, "gone")
	case "plain":
		return errors.New("plain")
	case "context":
		return context.DeadlineExceeded
	case "details":
		return details.Error(codes.ResourceExhausted, "no room", wrapperspb.String("first"), &types.Duration{Seconds: 5})
	case "huge":
		return details.Error(codes.Aborted, "huge", wrapperspb.Bytes(bytes.Repeat([]byte("x"), 5<<20)))
	case "bad":
		return status.FromProto(&spb.Status{Code: int32(codes.Aborted), Message: "not UTF-8: \xff"}).Err()
	}
	return nil
}

var desc = &ttrpc.ServiceDesc{
	Methods: map[string]ttrpc.Method{
		"Fail": func(_ context.Context, unmarshal func(any) error) (any, error) {
			var name wrapperspb.StringValue
			if err := unmarshal(&name); err != nil {
				return nil, err
			}
			return &name, fail(name.Value)
		},
	},
	Streams: map[string]ttrpc.Stream{
		"FailStream": {StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
			var name wrapperspb.StringValue
			if err := s.RecvMsg(&name); err != nil {
				return nil, err
			}
			return nil, fail(name.Value)
		}},
	},
}

// dial returns a client of a server of desc.
func dial(t *testing.T, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterService(service, desc)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, opts...)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestStatus(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	intercept := func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, next ttrpc.Invoker) error {
		return next(ctx, req, resp)
	}
	plain, intercepted := dial(t), dial(t, ttrpc.WithUnaryClientInterceptor(intercept))
	for _, test := range []struct {
		name    string
		code    codes.Code
		message string
		details int
	}{
		{"success", codes.OK, "", 0},
		{"grpc", codes.NotFound, "gone", 0},
		{"plain", codes.Unknown, "plain", 0},
		{"context", codes.DeadlineExceeded, "context deadline exceeded", 0},
		{"details", codes.ResourceExhausted, "no room", 2},
		{"huge", codes.Aborted, "huge", 0}, // its details do not fit
		{"bad", codes.Aborted, "not UTF-8: \uFFFD", 0},
	} {
		name := wrapperspb.String(test.name)
		var resp wrapperspb.StringValue
		errs := map[string]error{
			"call":             plain.Call(ctx, service, "Fail", name, &resp),
			"call intercepted": intercepted.Call(ctx, service, "Fail", name, &resp),
		}
		stream, err := plain.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, service, "FailStream", name)
		if err != nil {
			t.Fatal(err)
		}
		if test.code != codes.OK { // else the stream ends with io.EOF
			errs["stream"] = stream.RecvMsg(&resp)
		}
		for kind, err := range errs {
			st, ok := status.FromError(err)
			if !ok || st.Code() != test.code || st.Message() != test.message || len(st.Proto().GetDetails()) != test.details {
				t.Errorf("%s, %s: got %v with %d details", test.name, kind, err, len(st.Proto().GetDetails()))
			}
			if test.details == 0 {
				continue
			}
			if m, ok := details.Find[*wrapperspb.StringValue](err); !ok || m.Value != "first" {
				t.Errorf("%s, %s: the first detail is %v", test.name, kind, m)
			}
			if m, ok := details.Find[*types.Duration](err); !ok || m.Seconds != 5 {
				t.Errorf("%s, %s: the second detail is %v", test.name, kind, m)
			}
		}
	}
}

// Programs encode Response themselves, too: protobuf-go finds its way from the
// package's message to the older Status.
func TestResponse(t *testing.T) {
	b, err := proto.Marshal(&ttrpc.Response{Status: &spb.Status{Code: 5, Message: "gone"}, Payload: []byte("p")})
	if err != nil {
		t.Fatal(err)
	}
	var resp ttrpc.Response
	if err := proto.Unmarshal(b, &resp); err != nil || resp.Status.Code != 5 || resp.Status.Message != "gone" {
		t.Errorf("got %v, %v", resp.Status, err)
	}
}
