package message

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

var anyType = (&anypb.Any{}).ProtoReflect().Descriptor()

var jsonCodec = Codec{Format: JSON, Types: protoregistry.GlobalTypes}

func mustMarshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An Any with any content is printed, and the output can be read again.
func TestAny(t *testing.T) {
	duration := &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Duration", Value: mustMarshal(t, durationpb.New(1e9))}
	for _, test := range []struct {
		name string
		any  *anypb.Any
		want string
	}{
		{"known", duration, `{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}`},
		{"unknown", &anypb.Any{TypeUrl: "types.containerd.io/spec", Value: []byte("{}")}, `{"@type":"types.containerd.io/spec","@value":"e30="}`},
		{"unknown and empty", &anypb.Any{TypeUrl: "x/y"}, `{"@type":"x/y"}`},
		{"empty", &anypb.Any{}, `{}`},
		{"known within an Any", &anypb.Any{TypeUrl: "x/google.protobuf.Any", Value: mustMarshal(t, duration)},
			`{"@type":"x/google.protobuf.Any","value":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}`},
	} {
		got, err := jsonCodec.Encode(test.any, true)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.name, got, err, test.want)
			continue
		}
		again, err := jsonCodec.Decode(got, anyType)
		if err != nil || !proto.Equal(again, test.any) {
			t.Errorf("%s: read again it is %v, %v, want %v", test.name, again, err, test.any)
		}
	}
}

// Such an Any is printed as one of another type.
func TestAnyThatMakesNoSense(t *testing.T) {
	deep := &anypb.Any{}
	for range 10 * maxNesting {
		deep = &anypb.Any{TypeUrl: "x/google.protobuf.Any", Value: mustMarshal(t, deep)}
	}
	for _, any := range []*anypb.Any{
		{TypeUrl: "x/google.protobuf.Duration", Value: []byte("\xff")},
		{Value: []byte("x")},
		{TypeUrl: "x/google.protobuf.Any", Value: mustMarshal(t, &anypb.Any{TypeUrl: "x/y", Value: []byte("z")})},
		deep,
	} {
		got, err := jsonCodec.Encode(any, true)
		if err != nil || !strings.Contains(string(got), `"@value":`) {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

func TestFormats(t *testing.T) {
	m := structpb.NewStringValue("x")
	for _, format := range []Format{JSON, Text, Binary} {
		c := Codec{Format: format, Types: protoregistry.GlobalTypes}
		for _, oneLine := range []bool{false, true} {
			b, err := c.Encode(m, oneLine)
			if err != nil {
				t.Fatal(err)
			}
			again, err := c.Decode(b, m.ProtoReflect().Descriptor())
			if err != nil || !proto.Equal(again, m) {
				t.Errorf("%s: got %v, %v", format, again, err)
			}
		}
	}
	if Format("xml").Check() == nil {
		t.Error("xml is a format")
	}
}

// FuzzAnswer prints messages as a hostile server may send them.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add(mustMarshal(f, &anypb.Any{TypeUrl: "x/y", Value: []byte("z")}), false)
	f.Add(mustMarshal(f, &anypb.Any{TypeUrl: "x/google.protobuf.Value", Value: []byte{10}}), true)
	f.Fuzz(func(t *testing.T, b []byte, oneLine bool) {
		any := &anypb.Any{}
		if proto.Unmarshal(b, any) != nil {
			return
		}
		for _, format := range []Format{JSON, Text, Binary} {
			Codec{Format: format, Types: protoregistry.GlobalTypes, Defaults: oneLine}.Encode(any, oneLine)
		}
	})
}

// FuzzRequest reads requests. One that is refused has a reason.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{}`, `{"fields": {"a": {"stringValue": 1}}}`, `[1]`, `{"a":`, `null`, `{"@type":"x","@value":1}`, `{"file":[{"name":1,"messageType":[{"field":[{"number":"x"}]}]}]}`} {
		f.Add(s)
	}
	file, err := protoregistry.GlobalFiles.FindFileByPath("google/protobuf/struct.proto")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i := range file.Messages().Len() {
			if _, err := jsonCodec.Decode([]byte(s), file.Messages().Get(i)); err != nil && err.Error() == "" {
				t.Errorf("%q is refused without a reason", s)
			}
		}
		jsonCodec.Decode([]byte(s), anyType)
	})
}
