package nesting

import (
	"reflect"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
)

// A plan describes which fields of a message hold messages. It is made once for each type,
// from the struct tags of generated code, and does not change afterwards.
type plan struct {
	// fields has the plans of the known fields, by number. The plan of a field without
	// messages is nil.
	fields map[int32]*plan

	// others is the plan of all other fields, or nil if the decoder does not know them
	// either.
	others *plan

	// groups is set if the bytes are certainly those of a message, so that a tag of a
	// group does start a group. In other bytes, such as text, bytes that look like this
	// tag are common, and lengths that fit nested messages are not.
	groups bool

	// entry is set for the entry of a map, which is not a level.
	entry bool
}

// unseen is the plan of a message with a handwritten decoder: each field may hold another
// such message.
var unseen = newUnseen()

func newUnseen() *plan {
	p := &plan{}
	p.others = p
	return p
}

func (p *plan) child(num int32) *plan {
	if c, known := p.fields[num]; known {
		return c
	}
	return p.others
}

// plans has the *plan of each reflect.Type that was decoded from more than MaxDepth bytes,
// and nil for types that need none.
var plans sync.Map

func planOf(m any) *plan {
	t := reflect.TypeOf(m)
	if p, known := plans.Load(t); known {
		return p.(*plan)
	}
	var p *plan
	b := builder{plans: make(map[reflect.Type]*plan)}
	if root := b.message(t, ""); b.uncounted {
		p = root
	}
	plans.Store(t, p)
	return p
}

// builder makes the plan of one type.
type builder struct {
	plans map[reflect.Type]*plan // of the structs so far, finished or not

	// uncounted is set if a decoder other than protobuf-go's decodes some of the fields.
	uncounted bool
}

var messageType = reflect.TypeOf((*proto.Message)(nil)).Elem()

// message returns the plan for the bytes of a field of type t with a protobuf tag, or nil
// if the bytes hold no messages.
func (b *builder) message(t reflect.Type, tag string) *plan {
	for _, flat := range []string{",stdtime", ",stdduration", ",wktptr"} {
		if strings.Contains(tag, flat) {
			return nil
		}
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		return b.structure(t)
	case reflect.Interface:
		b.uncounted = true
		return unseen
	}
	return nil
}

func (b *builder) structure(t reflect.Type) *plan {
	if p := b.plans[t]; p != nil {
		return p
	}
	if !reflect.PtrTo(t).Implements(messageType) {
		b.uncounted = true
	}
	p := &plan{fields: make(map[int32]*plan)}
	b.plans[t] = p
	oneofs := false
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if b.field(p, f) {
			p.groups = true
		}
		oneofs = oneofs || f.Tag.Get("protobuf_oneof") != ""
	}
	if oneofs {
		p.groups = true
		b.oneofs(p, t)
	}
	if !p.groups {
		p.others = unseen
	}
	return p
}

// field adds a field of a struct to the plan. It reports whether the field is a field of the
// message.
func (b *builder) field(p *plan, f reflect.StructField) bool {
	num, ok := number(f.Tag.Get("protobuf"))
	if !ok {
		return false
	}
	var c *plan
	if f.Type.Kind() == reflect.Map {
		c = b.entry(f)
	} else {
		c = b.message(f.Type, f.Tag.Get("protobuf"))
	}
	p.fields[num] = c
	return true
}

// entry returns the plan of the entries of a map, whose values are field 2.
func (b *builder) entry(f reflect.StructField) *plan {
	value := b.message(f.Type.Elem(), f.Tag.Get("protobuf_val"))
	return &plan{fields: map[int32]*plan{2: value}, groups: true, entry: true}
}

// oneofs adds the fields of the oneofs of t, each of which has a struct of its own. Code from
// before 2019 names these structs only in a method whose signature has types of gogo's or
// golang/protobuf's runtime; then any field may hold a message.
func (b *builder) oneofs(p *plan, t reflect.Type) {
	m, ok := reflect.New(t).Interface().(interface{ XXX_OneofWrappers() []any })
	if !ok {
		p.others = unseen
		return
	}
	for _, wrapper := range m.XXX_OneofWrappers() {
		w := reflect.TypeOf(wrapper).Elem()
		for i := 0; i < w.NumField(); i++ {
			b.field(p, w.Field(i))
		}
	}
}

// number returns the field number in a tag such as "bytes,1,opt,name=x".
func number(tag string) (int32, bool) {
	parts := strings.SplitN(tag, ",", 3)
	if len(parts) < 2 {
		return 0, false
	}
	n, err := strconv.ParseInt(parts[1], 10, 32)
	return int32(n), err == nil
}
