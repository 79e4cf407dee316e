package main

import (
	"context"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxKnown limits how many methods messageTypes remembers.
const maxKnown = 4096

// lookupTime limits each question to the server's reflection. Frames that pass
// meanwhile wait to be shown.
const lookupTime = 2 * time.Second

// messageTypes translates the messages that the trace sees. One goroutine uses it.
type messageTypes struct {
	source *schema.Source
	close  func()
	known  map[[2]string]protoreflect.MethodDescriptor // nil for methods without types
}

// JSON returns a message in one line, or nil if its type is not known or it has another.
func (mt *messageTypes) JSON(service, method string, dir proxy.Direction, payload []byte) []byte {
	desc := mt.method(service, method)
	if desc == nil {
		return nil
	}
	typ := desc.Output()
	if dir == proxy.ToServer {
		typ = desc.Input()
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	types := mt.source.Types(ctx)
	msg := dynamicpb.NewMessage(typ)
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: types}).Unmarshal(payload, msg); err != nil {
		return nil
	}
	text, err := message.Codec{Format: "json", Types: types}.Encode(msg, true)
	if err != nil {
		return nil
	}
	return text
}

func (mt *messageTypes) method(service, method string) protoreflect.MethodDescriptor {
	key := [2]string{service, method}
	desc, ok := mt.known[key]
	if !ok {
		if len(mt.known) >= maxKnown || mt.known == nil {
			mt.known = map[[2]string]protoreflect.MethodDescriptor{}
		}
		ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
		defer cancel()
		desc, _ = mt.source.Method(ctx, service, method)
		mt.known[key] = desc
	}
	return desc
}
