package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/reflection"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Each script of testdata/call runs the commands that call and look.
func TestCallScripts(t *testing.T) {
	protos, err := filepath.Abs("testdata/proto")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/call",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"peer": startPeer, "serve": serveKinds, "waitfor": waitFor},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PROTOS", protos)
			set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: filesOf(everything().ParentFile())})
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "kinds.binpb"), set, 0o600)
		},
	})
}

const kindsService = "ttrpc.test.v1.Kinds"

// everything returns the type of Kinds' messages, whose file is in the registry of this
// process, from which reflection answers. The tool is another process.
var everything = sync.OnceValue(func() protoreflect.MessageDescriptor {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{"testdata/proto"}}),
	}
	compiled, err := compiler.Compile(context.Background(), "kinds.proto")
	if err != nil {
		panic(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(compiled[0]); err != nil {
		panic(err)
	}
	return compiled[0].Messages().ByName("Everything")
})

// filesOf returns a file after those that it imports.
func filesOf(fd protoreflect.FileDescriptor) (files []*descriptorpb.FileDescriptorProto) {
	for i := range fd.Imports().Len() {
		files = append(files, filesOf(fd.Imports().Get(i).FileDescriptor)...)
	}
	return append(files, protodesc.ToFileDescriptorProto(fd))
}

func newEverything(big int64) *dynamicpb.Message {
	m := dynamicpb.NewMessage(everything())
	if big != 0 {
		m.Set(everything().Fields().ByName("big"), protoreflect.ValueOfInt64(big))
	}
	return m
}

func bigOf(m *dynamicpb.Message) int64 { return m.Get(everything().Fields().ByName("big")).Int() }

func withText(text string) *dynamicpb.Message {
	m := newEverything(0)
	m.Set(everything().Fields().ByName("text"), protoreflect.ValueOfString(text))
	return m
}

// serveKinds is "serve SOCKET [reflection]": a server of this library with the service
// Kinds, until the script ends.
func serveKinds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve SOCKET [reflection]")
	}
	server, err := newKindsServer(len(args) > 1)
	ts.Check(err)
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	served := make(chan struct{}) // closed when Serve has returned
	go func() {
		defer close(served)
		server.Serve(context.Background(), l)
	}()
	ts.Defer(func() {
		server.Close()
		<-served
	})
}

func newKindsServer(reflect bool) (*ttrpc.Server, error) {
	everything()
	server, err := ttrpc.NewServer()
	if err != nil {
		return nil, err
	}
	server.RegisterService(kindsService, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo":   unary(func(_ context.Context, m *dynamicpb.Message) (any, error) { return m, nil }),
			"Fail":   unary(fail),
			"Header": unary(header),
			"Wait": unary(func(ctx context.Context, _ *dynamicpb.Message) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
		},
		Streams: map[string]ttrpc.Stream{
			"Hang":  {Handler: hang, StreamingServer: true},
			"Count": {Handler: count, StreamingServer: true},
			"Sum":   {Handler: sum, StreamingClient: true},
			"Chat":  {Handler: chat, StreamingClient: true, StreamingServer: true},
		},
	})
	if reflect {
		reflection.Register(server)
	}
	return server, nil
}

func unary(f func(context.Context, *dynamicpb.Message) (any, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		m := newEverything(0)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		return f(ctx, m)
	}
}

func fail(context.Context, *dynamicpb.Message) (any, error) {
	st, err := status.New(codes.FailedPrecondition, "too few").WithDetails(
		&errdetails.ResourceInfo{ResourceType: "bolt", ResourceName: "M8"})
	if err != nil {
		return nil, err
	}
	return nil, st.Err()
}

func header(ctx context.Context, _ *dynamicpb.Message) (any, error) {
	if err := ttrpc.SetTrailer(ctx, ttrpc.MD{"served-by": {"kinds"}}); err != nil {
		return nil, err
	}
	value, ok := ttrpc.GetMetadataValue(ctx, "user")
	if !ok {
		return nil, errors.New("no user")
	}
	return withText(value), nil
}

func hang(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	if err := stream.SendMsg(withText("hangs")); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func count(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	m := newEverything(0)
	if err := stream.RecvMsg(m); err != nil {
		return nil, err
	}
	for i := range bigOf(m) {
		if err := stream.SendMsg(newEverything(i + 1)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func sum(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	total := int64(0)
	for {
		m := newEverything(0)
		if err := stream.RecvMsg(m); err == io.EOF {
			return newEverything(total), nil
		} else if err != nil {
			return nil, err
		}
		total += bigOf(m)
	}
}

func chat(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for {
		m := newEverything(0)
		if err := stream.RecvMsg(m); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(newEverything(2 * bigOf(m))); err != nil {
			return nil, err
		}
	}
}
