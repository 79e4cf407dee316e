package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// explain finds the field of a JSON message that protojson refuses, by giving it one field
// at a time, and returns an error that names it.
func explain(b []byte, md protoreflect.MessageDescriptor, options protojson.UnmarshalOptions, err error) error {
	if syntax := syntaxError(b); syntax != nil {
		return syntax
	}
	x := explainer{options}
	if found := x.message("", b, md); found != nil {
		return found
	}
	return errors.New(plain(err))
}

// syntaxError returns an error with the place where b stops being JSON, or nil.
func syntaxError(b []byte) error {
	var syntax *json.SyntaxError
	err := json.Unmarshal(b, new(any))
	if !errors.As(err, &syntax) {
		return nil
	}
	before := b[:min(int(syntax.Offset), len(b))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Errorf("not JSON at line %d, column %d: %w", line, column, syntax)
}

type explainer struct{ options protojson.UnmarshalOptions }

// message returns an error about a field of b, which is at path, or nil if it finds none.
func (x explainer) message(path string, b []byte, md protoreflect.MessageDescriptor) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil || strings.HasPrefix(string(md.FullName()), "google.protobuf.") {
		return nil
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fd := findField(md, name)
		if fd == nil {
			if strings.HasPrefix(name, "[") {
				continue // an extension
			}
			return fmt.Errorf("%s has no field %q, at %q%s", md.FullName(), name, join(path, name), schema.Nearest(name, fieldNames(md)))
		}
		if err := x.field(join(path, name), name, fields[name], fd); err != nil {
			return err
		}
	}
	return nil
}

// field returns an error if the value of a field is wrong.
func (x explainer) field(path, name string, value []byte, fd protoreflect.FieldDescriptor) error {
	key, _ := json.Marshal(name)
	alone := slices.Concat([]byte("{"), key, []byte(":"), value, []byte("}"))
	err := x.options.Unmarshal(alone, dynamicpb.NewMessage(fd.ContainingMessage()))
	if err == nil {
		return nil
	}
	if found := x.within(path, value, fd); found != nil {
		return found
	}
	return fmt.Errorf("field %s wants %s: %s", path, typeName(fd), plain(err))
}

// within looks for the mistake in a part of a field's value.
func (x explainer) within(path string, value []byte, fd protoreflect.FieldDescriptor) error {
	md := fd.Message()
	switch {
	case fd.IsMap():
		var entries map[string]json.RawMessage
		if json.Unmarshal(value, &entries) != nil || fd.MapValue().Message() == nil {
			return nil
		}
		for key, v := range entries {
			if err := x.message(fmt.Sprintf("%s[%q]", path, key), v, fd.MapValue().Message()); err != nil {
				return err
			}
		}
	case md == nil:
	case fd.IsList():
		var elements []json.RawMessage
		if json.Unmarshal(value, &elements) != nil {
			return nil
		}
		for i, v := range elements {
			if err := x.message(fmt.Sprintf("%s[%d]", path, i), v, md); err != nil {
				return err
			}
		}
	default:
		return x.message(path, value, md)
	}
	return nil
}

func findField(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByJSONName(name); fd != nil {
		return fd
	}
	return md.Fields().ByTextName(name)
}

func fieldNames(md protoreflect.MessageDescriptor) (names []string) {
	for i := range md.Fields().Len() {
		names = append(names, md.Fields().Get(i).JSONName())
	}
	return names
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// typeName returns a field's type as a proto file has it.
func typeName(fd protoreflect.FieldDescriptor) string {
	name := fd.Kind().String()
	switch {
	case fd.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeName(fd.MapKey()), typeName(fd.MapValue()))
	case fd.Message() != nil:
		name = string(fd.Message().FullName())
	case fd.Enum() != nil:
		name = string(fd.Enum().FullName())
	}
	if fd.IsList() {
		return "repeated " + name
	}
	return name
}

// prefix is the beginning of protojson's errors: its own name, with a space that differs
// from build to build, and a place, which is of a part that explain has cut out.
var prefix = regexp.MustCompile(`^proto:[\s\x{a0}]*(syntax error )?(\(line \d+:\d+\): )?`)

func plain(err error) string { return prefix.ReplaceAllString(err.Error(), "") }
