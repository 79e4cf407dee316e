package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// answerTime limits the wait for one answer of the server's reflection.
const answerTime = 2 * time.Second

// reflected asks the server. The owner's lock guards it.
type reflected struct {
	client   ttrpc.Caller
	registry *protoregistry.Files
	err      error // why the server is not asked again
}

func newReflected(client ttrpc.Caller) *reflected {
	return &reflected{client: client, registry: &protoregistry.Files{}}
}

func (r *reflected) find(ctx context.Context, name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.registry.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	resp, err := r.ask(ctx, &pb.ServerReflectionRequest{
		MessageRequest: &pb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: string(name)},
	})
	if err != nil {
		return nil, err
	}
	if err := r.add(ctx, resp); err != nil {
		return nil, err
	}
	return r.registry.FindDescriptorByName(name)
}

func (r *reflected) services(ctx context.Context) (names []string, err error) {
	resp, err := r.ask(ctx, &pb.ServerReflectionRequest{
		MessageRequest: &pb.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		return nil, err
	}
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names, nil
}

// ask sends one request in a stream of its own, whose first frame has it: a server without
// streams sees an ordinary call of a service that it does not have.
func (r *reflected) ask(ctx context.Context, req *pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
	if r.err != nil {
		return nil, r.err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	resp := &pb.ServerReflectionResponse{}
	desc := &ttrpc.StreamDesc{StreamingServer: true}
	stream, err := r.client.NewStream(ctx, desc, "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", req)
	if err == nil {
		err = stream.RecvMsg(resp)
	}
	if err != nil {
		r.err = err
		return nil, err
	}
	if e := resp.GetErrorResponse(); e != nil {
		return nil, errors.Join(protoregistry.NotFound, status.Error(codes.Code(e.GetErrorCode()), e.GetErrorMessage()))
	}
	return resp, nil
}

// failed reports whether the server has reflection, or may have it, and it does not work.
func (r *reflected) failed() bool {
	code := status.Code(r.err)
	return code != codes.OK && code != codes.Unimplemented && code != codes.NotFound
}

// add adds the files of an answer. The server may send some that are there, or that nothing
// can be made of.
func (r *reflected) add(ctx context.Context, resp *pb.ServerReflectionResponse) error {
	set := map[string]*descriptorpb.FileDescriptorProto{}
	var names []string
	for _, b := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
		fd := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(b, fd); err != nil {
			return fmt.Errorf("the server's reflection sent a wrong file: %w", err)
		}
		set[fd.GetName()] = fd
		names = append(names, fd.GetName())
	}
	for _, name := range names {
		if err := r.link(ctx, name, set, maxImports); err != nil {
			return err
		}
	}
	return nil
}

// maxImports limits how deep files import each other.
const maxImports = 100

// link adds a file after those that it imports; it asks the server for those that are not
// in set. A file has nil in set once it is being linked, which ends cycles.
func (r *reflected) link(ctx context.Context, name string, set map[string]*descriptorpb.FileDescriptorProto, depth int) error {
	if _, err := r.registry.FindFileByPath(name); err == nil || depth == 0 {
		return nil
	}
	file := set[name]
	set[name] = nil
	if file == nil {
		return nil // it remains unresolved
	}
	for _, dep := range file.GetDependency() {
		if err := r.linkImport(ctx, dep, set, depth); err != nil {
			return err
		}
	}
	fd, err := protodesc.FileOptions{AllowUnresolvable: true}.New(file, r.registry)
	if err == nil {
		err = r.registry.RegisterFile(fd)
	}
	if err != nil {
		return fmt.Errorf("the server's reflection sent a wrong file: %w", err)
	}
	return nil
}

func (r *reflected) linkImport(ctx context.Context, name string, set map[string]*descriptorpb.FileDescriptorProto, depth int) error {
	_, known := set[name]
	if _, err := r.registry.FindFileByPath(name); err != nil && !known {
		resp, err := r.ask(ctx, &pb.ServerReflectionRequest{
			MessageRequest: &pb.ServerReflectionRequest_FileByFilename{FileByFilename: name},
		})
		if err != nil {
			return nil // it remains unresolved
		}
		for _, b := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
			fd := &descriptorpb.FileDescriptorProto{}
			if proto.Unmarshal(b, fd) != nil {
				continue
			}
			if _, known := set[fd.GetName()]; !known {
				set[fd.GetName()] = fd
			}
		}
	}
	return r.link(ctx, name, set, depth-1)
}
