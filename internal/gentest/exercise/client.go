package exercise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Client calls every method of a generated client, and checks that the
// response has the text of the request. It tells the kinds of methods apart by
// their signatures, which the generators promise.
func Client(t *testing.T, client any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	v := reflect.ValueOf(client)
	// The struct behind a client is not exported, its methods are.
	for i := 0; i < v.NumMethod(); i++ {
		name, method := v.Type().Method(i).Name, v.Method(i)
		t.Run(name, func(t *testing.T) {
			args := []reflect.Value{reflect.ValueOf(ctx)}
			var text string
			if method.Type().NumIn() == 2 {
				req := newMessage(method.Type().In(1), name)
				text = textOf(req)
				args = append(args, req)
			}
			results := method.Call(args)
			if err := errorOf(results[1]); err != nil {
				t.Fatal(err)
			}
			if method.Type().Out(0).Kind() == reflect.Pointer {
				check(t, results[0], text)
				return
			}
			stream := clientStream{results[0].Elem()}
			switch {
			case len(args) == 2:
				stream.watch(t, text)
			case stream.has("CloseAndRecv"):
				stream.upload(t)
			default:
				stream.chat(t)
			}
		})
	}
}

// clientStream is the client's end of a stream, in any type.
type clientStream struct {
	v reflect.Value
}

func (s clientStream) has(method string) bool { return s.v.MethodByName(method).IsValid() }

func (s clientStream) watch(t *testing.T, text string) {
	for i := 0; i < streamed; i++ {
		check(t, s.recv(t, "Recv"), text)
	}
	s.wantEOF(t)
}

func (s clientStream) upload(t *testing.T) {
	var text string
	for i := 0; i < streamed; i++ {
		text = s.send(t, i)
	}
	check(t, s.recv(t, "CloseAndRecv"), text)
}

func (s clientStream) chat(t *testing.T) {
	for i := 0; i < streamed; i++ {
		text := s.send(t, i)
		check(t, s.recv(t, "Recv"), text)
	}
	if err := errorOf(s.v.MethodByName("CloseSend").Call(nil)[0]); err != nil {
		t.Fatal(err)
	}
	s.wantEOF(t)
}

// send sends a new message and returns its text.
func (s clientStream) send(t *testing.T, i int) string {
	t.Helper()
	send := s.v.MethodByName("Send")
	m := newMessage(send.Type().In(0), fmt.Sprintf("message %d", i))
	if err := errorOf(send.Call([]reflect.Value{m})[0]); err != nil {
		t.Fatal(err)
	}
	return textOf(m)
}

func (s clientStream) recv(t *testing.T, method string) reflect.Value {
	t.Helper()
	results := s.v.MethodByName(method).Call(nil)
	if err := errorOf(results[1]); err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func (s clientStream) wantEOF(t *testing.T) {
	t.Helper()
	results := s.v.MethodByName("Recv").Call(nil)
	if err := errorOf(results[1]); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end of the stream got %v and error %v, want io.EOF", results[0], err)
	}
}

func errorOf(v reflect.Value) error {
	err, _ := v.Interface().(error)
	return err
}

// check checks a message that was received.
func check(t *testing.T, m reflect.Value, text string) {
	t.Helper()
	if m.IsNil() {
		t.Fatal("got no message")
	}
	if got := textOf(m); got != text {
		t.Errorf("got %q, want %q", got, text)
	}
}

// newMessage returns a message of a pointer type, with the text in it if it has
// a field that takes one.
func newMessage(typ reflect.Type, text string) reflect.Value {
	m := reflect.New(typ.Elem())
	switch f := textField(m); {
	case !f.IsValid():
	case f.Kind() == reflect.String:
		f.SetString(text)
	case f.Kind() == reflect.Int64:
		f.SetInt(int64(len(text)))
	case f.Kind() == reflect.Slice:
		f.SetBytes([]byte(text))
	case f.Kind() == reflect.Pointer:
		f.Set(reflect.ValueOf(&text))
	}
	return m
}

// textOf returns the text that newMessage put into a message.
func textOf(m reflect.Value) string {
	switch f := textField(m); {
	case !f.IsValid():
		return ""
	case f.Kind() == reflect.Slice:
		return string(f.Bytes())
	case f.Kind() == reflect.Pointer && f.IsNil():
		return ""
	case f.Kind() == reflect.Pointer:
		return f.Elem().String()
	default:
		return fmt.Sprint(f)
	}
}

// textField returns the first field of a message that can hold a text: a string,
// bytes, the length in an int64.
func textField(m reflect.Value) reflect.Value {
	for i := 0; i < m.Elem().NumField(); i++ {
		switch field := m.Elem().Type().Field(i); {
		case !field.IsExported(), strings.HasPrefix(field.Name, "XXX_"):
		case field.Type.Kind() == reflect.String,
			field.Type.Kind() == reflect.Int64,
			field.Type == reflect.TypeOf([]byte(nil)),
			field.Type == reflect.TypeOf((*string)(nil)):
			return m.Elem().Field(i)
		}
	}
	return reflect.Value{}
}
