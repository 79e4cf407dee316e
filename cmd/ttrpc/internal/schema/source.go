package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// origin is one place that types come from.
type origin interface {
	// find returns the type, service or method of that name, or an error that matches
	// protoregistry.NotFound.
	find(ctx context.Context, name protoreflect.FullName) (protoreflect.Descriptor, error)

	// services returns the full names of all services.
	services(ctx context.Context) ([]string, error)
}

// Source finds types. Several goroutines may use it at once.
type Source struct {
	mu        sync.Mutex // held while an origin is asked
	origins   []origin
	reflected *reflected // one of origins, or nil
}

// Find returns the type, service or method of that name. Its error has the nearest names.
func (s *Source) Find(ctx context.Context, name protoreflect.FullName) (protoreflect.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(ctx, name)
	if err == nil || !errors.Is(err, protoregistry.NotFound) {
		return d, err
	}
	return nil, fmt.Errorf("nothing is named %q%s", name, s.hint(ctx, string(name)))
}

// find asks the origins. A reflection that fails is as one that has nothing.
func (s *Source) find(ctx context.Context, name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if name.IsValid() {
		for _, o := range s.origins {
			if d, err := o.find(ctx, name); err == nil {
				return d, nil
			}
		}
	}
	return nil, protoregistry.NotFound
}

// Method returns the descriptor of a method. The error of an unknown name has the nearest
// ones.
func (s *Source) Method(ctx context.Context, service, method string) (protoreflect.MethodDescriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(ctx, protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("the types of service %q are not known%s", service, s.hint(ctx, service))
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no service, but a %s", service, kindOf(d))
	}
	if md := sd.Methods().ByName(protoreflect.Name(method)); md != nil {
		return md, nil
	}
	var names []string
	for i := range sd.Methods().Len() {
		names = append(names, string(sd.Methods().Get(i).Name()))
	}
	return nil, fmt.Errorf("service %s has no method %q%s", service, method, Nearest(method, names))
}

// hint names the services and their methods that are nearest to a name, or says how to give
// types.
func (s *Source) hint(ctx context.Context, name string) string {
	var all []string
	for _, o := range s.origins {
		services, err := o.services(ctx)
		if err != nil {
			continue
		}
		for _, service := range services {
			all = append(all, service)
			if service != "" && strings.HasPrefix(name, service[:1]) {
				all = append(all, s.methodNames(ctx, o, service)...)
			}
		}
	}
	hint := Nearest(name, all)
	if s.reflected != nil && s.reflected.failed() {
		hint += fmt.Sprintf("; the server's reflection fails: %v", status.Convert(s.reflected.err).Message())
	}
	return hint
}

func (s *Source) methodNames(ctx context.Context, o origin, service string) (names []string) {
	d, err := o.find(ctx, protoreflect.FullName(service))
	if sd, ok := d.(protoreflect.ServiceDescriptor); ok && err == nil {
		for i := range sd.Methods().Len() {
			names = append(names, string(sd.Methods().Get(i).FullName()))
		}
	}
	return names
}

// Services returns the names of all services, sorted: of the server's reflection alone, if
// it answers, and otherwise of the files, or else of the built-in set. reflected reports
// the first case.
func (s *Source) Services(ctx context.Context) (names []string, reflected bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.origins[0]
	if s.reflected != nil {
		names, err = s.reflected.services(ctx)
		if err == nil {
			return sorted(names), true, nil
		}
	}
	names, err = from.services(ctx)
	if from == s.reflected {
		names, err = builtin{}.services(ctx)
	}
	return sorted(names), false, err
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// kindOf returns the kind of a descriptor in words.
func kindOf(d protoreflect.Descriptor) string {
	switch d := d.(type) {
	case protoreflect.ServiceDescriptor:
		return "service"
	case protoreflect.MethodDescriptor:
		return "method"
	case protoreflect.MessageDescriptor:
		return "message"
	case protoreflect.EnumDescriptor:
		return "enum"
	case protoreflect.EnumValueDescriptor:
		return "value of an enum"
	case protoreflect.FieldDescriptor:
		if d.IsExtension() {
			return "extension"
		}
		return "field"
	case protoreflect.OneofDescriptor:
		return "oneof"
	}
	return "file"
}
