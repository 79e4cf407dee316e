package details_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/details"
	"github.com/containerd/ttrpc/ttrpctest"
	"github.com/containerd/typeurl"
	gogo "github.com/gogo/protobuf/proto"
	gogodescriptor "github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	gogotypes "github.com/gogo/protobuf/types"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// quota is no protobuf message, but registered with typeurl.
type quota struct{ Used, Limit int }

// unregistered is known to nobody.
type unregistered struct{ N int }

// nameless is a message that gogo has no name for.
type nameless struct{}

func (*nameless) Reset()         {}
func (*nameless) String() string { return "" }
func (*nameless) ProtoMessage()  {}

func init() { typeurl.Register(&quota{}, "test.ttrpc.example", "Quota") }

// kinds has a detail of each kind, and the type URL that it gets.
var kinds = []struct {
	name, url string
	detail    any
}{
	{
		name: "gogo with marshalers", url: "type.googleapis.com/google.protobuf.Api",
		detail: &gogotypes.Api{Name: "one", Version: "v1"},
	},
	{
		name: "gogo without marshalers", url: "type.googleapis.com/google.protobuf.UninterpretedOption",
		detail: &gogodescriptor.UninterpretedOption{IdentifierValue: gogo.String("x")},
	},
	{
		name: "protobuf-go", url: "type.googleapis.com/google.rpc.Status",
		detail: &spb.Status{Code: 3, Message: "inner"},
	},
	{
		name: "registered with typeurl", url: "test.ttrpc.example/Quota",
		detail: &quota{Used: 7, Limit: 8},
	},
}

func equal(a, b any) bool {
	if m, ok := a.(proto.Message); ok {
		n, ok := b.(proto.Message)
		return ok && proto.Equal(m, n)
	}
	if m, ok := a.(gogo.Message); ok {
		n, ok := b.(gogo.Message)
		return ok && gogo.Equal(m, n)
	}
	return reflect.DeepEqual(a, b)
}

func TestPackAndUnpack(t *testing.T) {
	var all []any
	for _, k := range kinds {
		all = append(all, k.detail)
		st, err := details.With(status.New(codes.NotFound, "gone"), k.detail)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if st.Code() != codes.NotFound || st.Message() != "gone" {
			t.Errorf("%s: the status became %v", k.name, st)
		}
		if got := st.Proto().Details[0].TypeUrl; got != k.url {
			t.Errorf("%s: type URL %q, want %q", k.name, got, k.url)
		}
		got := details.Of(st.Err())
		if len(got) != 1 || !equal(got[0], k.detail) {
			t.Errorf("%s: got %T %v, want %T %v", k.name, got, got, k.detail, k.detail)
		}
	}

	// All of them, around another error.
	err := fmt.Errorf("call: %w", details.Error(codes.Aborted, "all", all...))
	if status.Code(err) != codes.Aborted {
		t.Errorf("code is %v", status.Code(err))
	}
	got := details.Of(err)
	if len(got) != len(all) {
		t.Fatalf("got %d details, want %d: %v", len(got), len(all), got)
	}
	for i := range got {
		if !equal(got[i], all[i]) {
			t.Errorf("%d: got %v, want %v", i, got[i], all[i])
		}
	}
}

// With adds to the details that a status has, and leaves that status alone.
func TestWithAdds(t *testing.T) {
	one, err := details.With(status.New(codes.Internal, "m"), &quota{Used: 1})
	if err != nil {
		t.Fatal(err)
	}
	two, err := details.With(one, &quota{Used: 2}, &quota{Used: 3})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(details.Of(one.Err())); n != 1 {
		t.Errorf("the first status has %d details, want 1", n)
	}
	if n := len(details.Of(two.Err())); n != 3 {
		t.Errorf("the second status has %d details, want 3", n)
	}
}

// grpc's own status package can read these details: the names of messages are where
// it looks for them.
func TestGRPCReadsDetails(t *testing.T) {
	err := details.Error(codes.Internal, "m", &spb.Status{Code: 5})
	got := status.Convert(err).Details()
	if len(got) != 1 || !equal(got[0], &spb.Status{Code: 5}) {
		t.Errorf("got %v", got)
	}
	// And the other way round.
	st, werr := status.New(codes.Internal, "m").WithDetails(&spb.Status{Code: 6})
	if werr != nil {
		t.Fatal(werr)
	}
	if got := details.Of(st.Err()); len(got) != 1 || !equal(got[0], &spb.Status{Code: 6}) {
		t.Errorf("got %v", got)
	}
}

// Programs on typeurl put gogo's messages under their bare name.
func TestBareNameIsRead(t *testing.T) {
	want := &gogotypes.Api{Name: "bare"}
	packed, err := typeurl.MarshalAny(want)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(packed.TypeUrl, "/") {
		t.Fatalf("typeurl has come to write %q: this test is void", packed.TypeUrl)
	}
	got := details.Of(details.Error(codes.Internal, "m", packed))
	if len(got) != 1 || !equal(got[0], want) {
		t.Errorf("got %v", got)
	}
}

func TestFind(t *testing.T) {
	err := details.Error(codes.Internal, "m",
		&gogotypes.Api{Name: "first"}, &gogotypes.Api{Name: "second"}, &quota{Used: 1},
		&spb.Status{Code: 9}, &gogotypes.Duration{Seconds: 3})
	if m, ok := details.Find[*gogotypes.Api](err); !ok || m.Name != "first" {
		t.Errorf("gogo message: %v, %v", m, ok)
	}
	if q, ok := details.Find[*quota](err); !ok || q.Used != 1 {
		t.Errorf("typeurl type: %v, %v", q, ok)
	}
	if m, ok := details.Find[*spb.Status](err); !ok || m.Code != 9 {
		t.Errorf("protobuf-go message: %v, %v", m, ok)
	}
	if m, ok := details.Find[*gogotypes.Struct](err); ok {
		t.Errorf("found a message that is not there: %v", m)
	}
	// One name, two registries: the type that is asked for decides.
	if m, ok := details.Find[*durationpb.Duration](err); !ok || m.Seconds != 3 {
		t.Errorf("the other generation: %v, %v", m, ok)
	}
	if m, ok := details.Find[*gogotypes.Duration](err); !ok || m.Seconds != 3 {
		t.Errorf("the same generation: %v, %v", m, ok)
	}
	if _, ok := details.Find[*quota](nil); ok {
		t.Error("found a detail in nil")
	}
}

func TestCannotPack(t *testing.T) {
	st := status.New(codes.Internal, "m")
	for _, detail := range []any{
		nil, (*quota)(nil), (*gogotypes.Api)(nil), quota{}, "text", &unregistered{}, &nameless{},
		&spb.Status{Message: "not UTF-8: \xff"},
	} {
		if got, err := details.With(st, detail); err == nil {
			t.Errorf("%T: packed as %v", detail, got)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%T", detail)) {
			t.Errorf("%T: the error does not name the type: %v", detail, err)
		}
	}
	if _, err := details.With(status.New(codes.OK, ""), &quota{}); err == nil {
		t.Error("details were added to OK")
	}
	if _, err := details.With(nil, &quota{}); err == nil {
		t.Error("details were added to nil, which is OK")
	}

	// A handler's error keeps its code and its other details.
	err := details.Error(codes.DataLoss, "disk", &quota{Used: 4}, &unregistered{})
	if status.Code(err) != codes.DataLoss {
		t.Errorf("the code became %v", status.Code(err))
	}
	if msg := status.Convert(err).Message(); !strings.HasPrefix(msg, "disk (detail 2: ") || !strings.Contains(msg, "unregistered") {
		t.Errorf("the message does not tell what is left out: %q", msg)
	}
	if got := details.Of(err); len(got) != 1 || !equal(got[0], &quota{Used: 4}) {
		t.Errorf("the other detail: %v", got)
	}
}

func TestCannotUnpack(t *testing.T) {
	for _, packed := range []*anypb.Any{
		{TypeUrl: "type.googleapis.com/nobody.Knows", Value: []byte{1}},
		{TypeUrl: "type.googleapis.com/google.protobuf.Api", Value: []byte{0xff}},
		{TypeUrl: "type.googleapis.com/google.rpc.Status", Value: []byte{0xff}},
		{TypeUrl: "test.ttrpc.example/Quota", Value: []byte("{")},
		{TypeUrl: "", Value: nil},
	} {
		got := details.Of(details.Error(codes.Internal, "m", packed))
		if len(got) != 1 || !equal(got[0], packed) {
			t.Errorf("%s: got %v, want it as it came", packed.TypeUrl, got)
		}
		if m, ok := details.Find[*gogotypes.Api](details.Error(codes.Internal, "m", packed)); ok {
			t.Errorf("%s: found %v", packed.TypeUrl, m)
		}
	}
	for _, err := range []error{nil, errors.New("no status"), status.Error(codes.Internal, "no details")} {
		if got := details.Of(err); got != nil {
			t.Errorf("%v has details %v", err, got)
		}
	}
}

// TestThroughCall sends all kinds of details from a handler to its client.
func TestThroughCall(t *testing.T) {
	server := ttrpctest.NewServer(t)
	server.RegisterService("test.Details", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Fail": func(context.Context, func(any) error) (any, error) {
				return nil, fmt.Errorf("wrapped: %w", details.Error(codes.ResourceExhausted, "no room",
					kinds[0].detail, kinds[1].detail, kinds[2].detail, kinds[3].detail))
			},
		},
		Streams: map[string]ttrpc.Stream{
			"FailStream": {StreamingServer: true, Handler: func(context.Context, ttrpc.StreamServer) (any, error) {
				return nil, details.Error(codes.Aborted, "stop", kinds[0].detail)
			}},
		},
	})
	client := ttrpctest.NewClient(t, server)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	err := client.Call(ctx, "test.Details", "Fail", &spb.Status{}, &spb.Status{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("got %v, want ResourceExhausted", err)
	}
	got := details.Of(err)
	if len(got) != len(kinds) {
		t.Fatalf("got %d details, want %d", len(got), len(kinds))
	}
	for i, k := range kinds {
		if !equal(got[i], k.detail) {
			t.Errorf("%s: got %v, want %v", k.name, got[i], k.detail)
		}
	}

	cs, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, "test.Details", "FailStream", &spb.Status{})
	if err != nil {
		t.Fatal(err)
	}
	err = cs.RecvMsg(&spb.Status{})
	if api, ok := details.Find[*gogotypes.Api](err); !ok || api.Name != "one" || status.Code(err) != codes.Aborted {
		t.Errorf("stream: %v with %v", err, api)
	}
}

// A detail that gogo's decoder has no stack for is left as it came.
func TestDeepDetail(t *testing.T) {
	var b []byte
	for len(b) < 4<<20-1000 { // lists in lists, back to front
		for _, num := range []protowire.Number{1, 6} {
			tag := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(len(b)))
			for i := len(tag) - 1; i >= 0; i-- {
				b = append(b, tag[i])
			}
		}
	}
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	for _, url := range []string{"type.googleapis.com/google.protobuf.Value", "google.protobuf.Value"} {
		packed := &anypb.Any{TypeUrl: url, Value: b}
		err := details.Error(codes.Internal, "m", packed)
		if got := details.Of(err); len(got) != 1 || !equal(got[0], packed) {
			t.Errorf("%s: got %T, want it as it came", url, got[0])
		}
		if _, ok := details.Find[*gogotypes.Value](err); ok {
			t.Errorf("%s: found", url)
		}
	}
}

// elsewhere is registered with a registry of its own.
type elsewhere struct{ N byte }

// Types of another registry are found beside typeurl's.
func TestRegister(t *testing.T) {
	const url = "test.ttrpc.example/Elsewhere"
	details.Register(
		func(v any) (*anypb.Any, error) {
			if e, ok := v.(*elsewhere); ok {
				return &anypb.Any{TypeUrl: url, Value: []byte{e.N}}, nil
			}
			return nil, errors.New("not elsewhere")
		},
		func(typeURL string, value []byte) (any, error) {
			if typeURL != url || len(value) == 0 {
				return nil, errors.New("not elsewhere")
			}
			return &elsewhere{N: value[0]}, nil
		})
	err := details.Error(codes.Internal, "m", &quota{Used: 1}, &elsewhere{N: 2}, &spb.Status{Code: 3})
	if e, ok := details.Find[*elsewhere](err); !ok || e.N != 2 {
		t.Errorf("got %v from %v", e, err)
	}
	if q, ok := details.Find[*quota](err); !ok || q.Used != 1 {
		t.Errorf("typeurl's: got %v", q)
	}
	if got := details.Of(err); len(got) != 3 || !equal(got[2], &spb.Status{Code: 3}) {
		t.Errorf("got %v", got)
	}
}
