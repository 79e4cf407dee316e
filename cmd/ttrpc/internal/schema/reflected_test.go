package schema

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// server is a reflection that answers with answer. It is a ttrpc.Caller.
type server func(req *pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error)

func (s server) Call(context.Context, string, string, any, any) error {
	return errors.New("reflection is a stream")
}

func (s server) NewStream(_ context.Context, _ *ttrpc.StreamDesc, _, _ string, req any) (ttrpc.ClientStream, error) {
	resp, err := s(req.(*pb.ServerReflectionRequest))
	return &answer{resp, err}, nil
}

type answer struct {
	resp *pb.ServerReflectionResponse
	err  error
}

func (a *answer) CloseSend() error  { return nil }
func (a *answer) SendMsg(any) error { return nil }
func (a *answer) RecvMsg(m any) error {
	if a.resp == nil && a.err == nil {
		return io.EOF
	}
	if a.err == nil {
		proto.Merge(m.(proto.Message), a.resp)
	}
	return a.err
}

func answerFiles(files ...*descriptorpb.FileDescriptorProto) *pb.ServerReflectionResponse {
	var bytes [][]byte
	for _, fd := range files {
		b, err := proto.Marshal(fd)
		if err != nil {
			panic(err)
		}
		bytes = append(bytes, b)
	}
	return &pb.ServerReflectionResponse{MessageResponse: &pb.ServerReflectionResponse_FileDescriptorResponse{
		FileDescriptorResponse: &pb.FileDescriptorResponse{FileDescriptorProto: bytes},
	}}
}

// file describes a file with a message M and a service S whose method takes that of the
// file it imports.
func file(name, pkg, dep, in string) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{
		Name: proto.String(name), Package: proto.String(pkg), Syntax: proto.String("proto3"), Dependency: []string{dep},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Do"), InputType: proto.String(in), OutputType: proto.String("." + pkg + ".M"),
		}}}},
	}
}

func newSource(s server) *Source {
	r := newReflected(s)
	return &Source{origins: []origin{r, builtin{}}, reflected: r}
}

// A server may send the imports with a file, or wait until it is asked for them.
func TestReflectedImports(t *testing.T) {
	duration := protodesc.ToFileDescriptorProto(durationpb.File_google_protobuf_duration_proto)
	a := file("a.proto", "a", "google/protobuf/duration.proto", ".google.protobuf.Duration")
	for name, s := range map[string]server{
		"together": func(*pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
			return answerFiles(a, duration), nil
		},
		"one by one": func(req *pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
			if req.GetFileByFilename() != "" {
				return answerFiles(duration), nil
			}
			return answerFiles(a), nil
		},
	} {
		md, err := newSource(s).Method(t.Context(), "a.S", "Do")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if in := md.Input(); in.IsPlaceholder() || in.Fields().ByName("seconds") == nil {
			t.Errorf("%s: the input is %v", name, in)
		}
	}
}

// A server without reflection is asked once, and the built-in types remain.
func TestNoReflection(t *testing.T) {
	asked := 0
	source := newSource(func(*pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
		asked++
		return nil, status.Error(codes.Unimplemented, "service")
	})
	for range 2 {
		if _, err := source.Method(t.Context(), "containerd.task.v2.Task", "State"); err != nil {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("the server was asked %d times", asked)
	}
}

// Files that import themselves, or each other, or a file without end, do no harm.
func TestReflectedCycles(t *testing.T) {
	n := 0
	for name, s := range map[string]server{
		"itself": func(*pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
			return answerFiles(file("a.proto", "a", "a.proto", ".a.M")), nil
		},
		"each other": func(*pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
			return answerFiles(file("a.proto", "a", "b.proto", ".b.M"), file("b.proto", "b", "a.proto", ".a.M")), nil
		},
		"three each other": func(*pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
			a, b, c := file("a.proto", "a", "b.proto", ".b.M"), file("b.proto", "b", "a.proto", ".a.M"), file("c.proto", "c", "a.proto", ".a.M")
			a.Dependency = append(a.Dependency, "c.proto")
			b.Dependency = append(b.Dependency, "c.proto")
			c.Dependency = append(c.Dependency, "b.proto")
			return answerFiles(a, b, c), nil
		},
		"without end": func(req *pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
			n++
			name := req.GetFileByFilename()
			if name == "" {
				name = "a"
			}
			return answerFiles(file(name, "p"+name, name+"a", ".p"+name+"a.M")), nil
		},
	} {
		source := newSource(s)
		source.Services(t.Context())
		if _, err := source.Method(t.Context(), "a.S", "Do"); name == "three each other" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n > 10*maxImports {
		t.Errorf("the server was asked %d times", n)
	}
}

// FuzzReflection has a hostile server, which answers every question with the same bytes.
func FuzzReflection(f *testing.F) {
	for _, resp := range []*pb.ServerReflectionResponse{
		answerFiles(file("a.proto", "a", "b.proto", ".b.M")), answerFiles(file("a.proto", "a", "a.proto", ".a.S")), answerFiles(&descriptorpb.FileDescriptorProto{}),
		{MessageResponse: &pb.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: &pb.ListServiceResponse{Service: []*pb.ServiceResponse{{}, {Name: "a.S"}}}}},
		{MessageResponse: &pb.ServerReflectionResponse_ErrorResponse{ErrorResponse: &pb.ErrorResponse{ErrorCode: 99}}},
	} {
		b, err := proto.Marshal(resp)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		resp := &pb.ServerReflectionResponse{}
		if proto.Unmarshal(b, resp) != nil {
			return
		}
		source := newSource(func(*pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) { return resp, nil })
		source.Services(t.Context())
		for _, name := range []protoreflect.FullName{"a.S", "a.M", "a.S.Do", "a"} {
			source.Find(t.Context(), name)
			source.Types(t.Context()).FindMessageByName(name)
		}
		source.Method(t.Context(), "a.S", "Do")
	})
}
