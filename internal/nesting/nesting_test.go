package nesting

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	gogo "github.com/gogo/protobuf/proto"
	gogodescriptor "github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	gogotypes "github.com/gogo/protobuf/types"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// nest returns levels of messages, itself included: each holds the next in the fields
// of path, in turn.
func nest(levels int, path ...protowire.Number) []byte {
	b := make([]byte, 0, levels*8)
	for i := levels - 2; i >= 0; i-- { // from the innermost, in reverse
		tag := protowire.AppendTag(nil, path[i%len(path)], protowire.BytesType)
		tag = protowire.AppendVarint(tag, uint64(len(b)))
		for j := len(tag) - 1; j >= 0; j-- {
			b = append(b, tag[j])
		}
	}
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return b
}

func groups(levels int) []byte {
	start := bytes.Repeat(protowire.AppendTag(nil, 1000, protowire.StartGroupType), levels)
	return append(start, bytes.Repeat(protowire.AppendTag(nil, 1000, protowire.EndGroupType), levels)...)
}

// fields returns a message of fields of bytes.
func fields(num protowire.Number, contents ...[]byte) (b []byte) {
	for _, c := range contents {
		b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), c)
	}
	return b
}

// Messages that a generator might have made, in all the ways of holding another.

type node struct {
	Pointer  *node            `protobuf:"bytes,1,opt,name=pointer"`
	Slice    []*node          `protobuf:"bytes,2,rep,name=slice"`
	Values   nodes            `protobuf:"bytes,3,rep,name=values,castrepeated=nodes"`
	Map      map[string]*node `protobuf:"bytes,4,rep,name=map" protobuf_key:"bytes,1,opt,name=key" protobuf_val:"bytes,2,opt,name=value"`
	Group    *node            `protobuf:"group,5,opt,name=Group"`
	embedded `protobuf:"bytes,6,opt,name=embedded,embedded=e"`
	Blob     []byte           `protobuf:"bytes,7,opt,name=blob"`
	Custom   *custom          `protobuf:"bytes,8,opt,name=custom,customtype=custom"`
	Time     *gogotypes.Value `protobuf:"bytes,9,opt,name=time,stdtime"`
	Old      isOld            `protobuf_oneof:"old"`
}

type nodes []node

type embedded struct {
	Inner *node `protobuf:"bytes,1,opt,name=inner"`
}

type isOld interface{ isOld() }

// custom is a type that no generator made.
type custom struct{ Any any }

// flat has no message in it.
type flat struct {
	Blob []byte   `protobuf:"bytes,1,opt,name=blob"`
	Text []string `protobuf:"bytes,2,rep,name=text"`
}

// override embeds a generated message and brings a method of its own.
type override struct{ *gogotypes.Value }

// mixed is made by protobuf-go's generator, and imports a message of gogo's.
type mixed struct {
	*structpb.Value
	Gogo *gogotypes.Value `protobuf:"bytes,1,opt,name=gogo"`
}

func TestCheck(t *testing.T) {
	entry := func(levels int) []byte { // each level is two fields, the map's and the entry's
		return nest(2*levels-1, 4, 2)
	}
	group := func(levels int) []byte {
		tag := protowire.AppendTag(nil, 5, protowire.StartGroupType)
		return append(bytes.Repeat(tag, levels-1), make([]byte, 0)...)
	}
	for _, test := range []struct {
		name string
		m    any
		nest func(levels int) []byte
	}{
		{"gogo's ListValue", &gogotypes.Value{}, func(n int) []byte { return nest(n, 6, 1) }},
		{"gogo's Struct", &gogotypes.Struct{}, func(n int) []byte { return nest(n*3/2, 1, 2, 5) }},
		{"without methods", &gogodescriptor.DescriptorProto{}, func(n int) []byte { return nest(n, 3) }},
		{"pointer", &node{}, func(n int) []byte { return nest(n, 1) }},
		{"slice", &node{}, func(n int) []byte { return nest(n, 2) }},
		{"values", &node{}, func(n int) []byte { return nest(n, 3) }},
		{"map", &node{}, entry},
		{"group", &node{}, group},
		{"embedded", &node{}, func(n int) []byte { return nest(n, 6, 1) }},
		{"custom", &node{}, func(n int) []byte { return nest(n, 8, 77, 3) }},
		{"oneof whose wrappers are not known", &node{}, func(n int) []byte { return nest(n, 78) }},
		{"written by hand", &override{}, func(n int) []byte { return nest(n, 6, 1) }},
		{"protobuf-go's with gogo's in it", &mixed{}, func(n int) []byte { return nest(n, 1, 6) }},
	} {
		if err := Check(test.m, test.nest(MaxDepth)); err != nil {
			t.Errorf("%s: %d levels: %v", test.name, MaxDepth, err)
		}
		for _, levels := range []int{MaxDepth + 2, 500_000} {
			b := test.nest(levels)
			if err := Check(test.m, b); err != errTooDeep {
				t.Errorf("%s: %d levels: %v", test.name, levels, err)
			}
			if err := Check(test.m, append(b[:len(b):len(b)], 0xff)); err != errTooDeep {
				t.Errorf("%s: %d levels and a malformed end: %v", test.name, levels, err)
			}
		}
	}
}

// The bytes that protobuf-go decodes are accepted, and those alone.
func TestAsProtobufGo(t *testing.T) {
	for _, test := range []struct {
		name string
		gogo any
		pb   proto.Message
		nest func(levels int) []byte
	}{
		{"messages", &gogotypes.Value{}, &structpb.Value{}, func(n int) []byte { return nest(n, 6, 1) }},
		{"maps", &gogotypes.Struct{}, &structpb.Struct{}, func(n int) []byte { return nest(n/2*3+n%2, 1, 2, 5) }},
		{"unknown groups", &gogotypes.Duration{}, &structpb.Value{}, groups},
		{"no methods", &gogodescriptor.DescriptorProto{}, &descriptorpb.DescriptorProto{}, func(n int) []byte { return nest(n, 3) }},
	} {
		for levels := MaxDepth - 2; levels <= MaxDepth+4; levels++ {
			b := test.nest(levels)
			pbErr, err := proto.Unmarshal(b, test.pb), Check(test.gogo, b)
			if test.name == "maps" && (err == nil) != (levels <= MaxDepth) {
				t.Errorf("maps, %d levels: %v", levels, err)
			}
			// Newer versions count the entry of a map as a level of its own.
			stricter := test.name == "maps" && err == nil && levels <= MaxDepth
			if (pbErr == nil) != (err == nil) && !stricter {
				t.Errorf("%s, %d levels: %v, and protobuf-go says %v", test.name, levels, err, pbErr)
			}
		}
		if err := Check(test.pb, test.nest(500_000)); err != nil {
			t.Errorf("%s: protobuf-go counts for itself: %v", test.name, err)
		}
	}
}

// Bytes that no decoder takes for messages may look like them.
func TestLooksDeep(t *testing.T) {
	deep := nest(500_000, 1)
	text := bytes.Repeat([]byte("s{[c+"), 200_000)
	for _, test := range []struct {
		name string
		m    any
		b    []byte
	}{
		{"bytes of a flat message", &flat{}, fields(1, deep)},
		{"bytes of a recursive message", &node{}, fields(7, deep, groups(500_000))},
		{"a time", &node{}, fields(9, deep)},
		{"bytes of a message that is nested", &node{}, fields(1, fields(7, deep))},
		{"Any", &gogotypes.Any{}, fields(2, deep)},
		{"text of a type that is not known", &custom{}, fields(1, text)},
		{"text alone", &custom{}, text},
		{"many fields", &node{}, bytes.Repeat(fields(2, fields(2, []byte{})), 200_000)},
		{"malformed before it is deep", &node{}, append([]byte{0x0f}, deep...)},
		{"a group that nobody began", &node{}, append([]byte{0x0c}, deep...)},
		{"a length that is too long", &node{}, append([]byte{0x0a, 0xff, 0xff, 0xff, 0x7f}, deep...)},
	} {
		if err := Check(test.m, test.b); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Generated code drops the upper bits of a field's number.
func TestLongTag(t *testing.T) {
	deep := nest(500_000, 1)
	b := protowire.AppendVarint(nil, 1<<35|1<<3|uint64(protowire.BytesType))
	b = protowire.AppendBytes(b, deep)
	if err := Check(&node{}, b); !errors.Is(err, errTooDeep) {
		t.Errorf("got %v", err)
	}
}

// Groups in fields that a message does not know are deep to old generated code.
func TestUnknownGroups(t *testing.T) {
	for _, b := range [][]byte{groups(500_000), groups(500_000)[:500_000], fields(1, groups(500_000))} {
		for _, m := range []any{&node{}, &gogotypes.Api{}} {
			if reflect.TypeOf(m) == reflect.TypeOf(&gogotypes.Api{}) && b[0] == 0x0a {
				continue // its field 1 is a string
			}
			if err := Check(m, b); err != errTooDeep {
				t.Errorf("%T: %v", m, err)
			}
		}
	}
	// Fields after a group are looked at.
	for _, before := range [][]byte{groups(1), groups(MaxDepth), {0x2b, 0x2c}} {
		if err := Check(&node{}, append(before, nest(500_000, 1)...)); err != errTooDeep {
			t.Errorf("after a group: %v", err)
		}
	}
}

// FuzzCheck looks for inputs that gogo decodes and Check fears, or does not end with.
func FuzzCheck(f *testing.F) {
	f.Add(nest(20, 6, 1), 600)
	f.Add(groups(20), 600)
	f.Fuzz(func(t *testing.T, b []byte, times int) {
		if len(b) == 0 || times < 0 || times > 1000 {
			return
		}
		b = bytes.Repeat(b, times)
		if err := Check(&gogotypes.Value{}, b); err != nil && proto.Unmarshal(b, &structpb.Value{}) == nil {
			t.Error(err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	one, err := gogo.Marshal(&gogotypes.Value{Kind: &gogotypes.Value_StringValue{StringValue: "a value of some length"}})
	if err != nil {
		b.Fatal(err)
	}
	many := bytes.Repeat(fields(1, one), 2000)
	for _, bench := range []struct {
		name string
		m    gogo.Message
		b    []byte
	}{
		{"short", &gogotypes.ListValue{}, many[:len(many)/20]},
		{"64KiB", &gogotypes.ListValue{}, many},
		{"1MiB blob", &gogotypes.BytesValue{}, fields(1, make([]byte, 1<<20))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.b)))
			for i := 0; i < b.N; i++ {
				if err := Check(bench.m, bench.b); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(bench.b)))
			for i := 0; i < b.N; i++ {
				if err := gogo.Unmarshal(bench.b, bench.m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
