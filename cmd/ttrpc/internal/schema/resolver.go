package schema

import (
	"context"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Types finds the types of messages in google.protobuf.Any, and of extensions, for the
// packages protojson and prototext.
type Types struct {
	ctx    context.Context
	source *Source
}

// Types returns a resolver, whose questions to the server end with ctx.
func (s *Source) Types(ctx context.Context) Types { return Types{ctx, s} }

// FindMessageByName returns the type of a message.
func (t Types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	d, err := t.source.find(t.ctx, name)
	if err != nil {
		return nil, err
	}
	md, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, protoregistry.NotFound
	}
	return dynamicpb.NewMessageType(md), nil
}

// FindMessageByURL returns the type of a message in an Any.
func (t Types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return t.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindExtensionByName returns the type of an extension.
func (t Types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	d, err := t.source.find(t.ctx, name)
	if err != nil {
		return nil, err
	}
	xd, ok := d.(protoreflect.ExtensionDescriptor)
	if !ok || !xd.IsExtension() {
		return nil, protoregistry.NotFound
	}
	return dynamicpb.NewExtensionType(xd), nil
}

// FindExtensionByNumber knows those that are built in.
func (t Types) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
}
