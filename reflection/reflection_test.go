package reflection_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/inventory"
	"github.com/containerd/ttrpc/internal/gentest/testdata/gogo/gogoopts"
	"github.com/containerd/ttrpc/reflection"
	"github.com/containerd/ttrpc/ttrpctest"
	_ "github.com/gogo/protobuf/gogoproto" // the options in gogoopts.proto, by the name gogo.proto
	gogo "github.com/gogo/protobuf/proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The module of cmd/ttrpc tests that the package works beside grpc's, and with its client.

// answer has the fields of a response, as they are in JSON.
type answer struct {
	ValidHost              string
	OriginalRequest        map[string]any
	FileDescriptorResponse struct{ FileDescriptorProto [][]byte }
	ListServicesResponse   struct {
		Service []struct{ Name string }
	}
	AllExtensionNumbersResponse struct {
		BaseTypeName    string
		ExtensionNumber []int32
	}
	ErrorResponse struct {
		ErrorCode    codes.Code
		ErrorMessage string
	}
}

// asker is a stream of the protocol.
type asker struct {
	t      testing.TB
	stream ttrpc.ClientStream
}

func newAsker(t testing.TB, server *ttrpc.Server) asker {
	t.Helper()
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	stream, err := ttrpctest.NewClient(t, server).NewStream(context.Background(), desc,
		"grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	return asker{t, stream}
}

// try sends a request, in JSON, and returns the answer.
func (a asker) try(req string) (ans answer, err error) {
	in, out := dynamicpb.NewMessage(reflection.RequestType), dynamicpb.NewMessage(reflection.ResponseType)
	if err := protojson.Unmarshal([]byte(req), in); err != nil {
		return ans, err
	}
	if err := a.stream.SendMsg(in); err != nil {
		return ans, err
	}
	if err := a.stream.RecvMsg(out); err != nil {
		return ans, err
	}
	b, err := protojson.Marshal(out)
	if err != nil {
		return ans, err
	}
	return ans, json.Unmarshal(b, &ans)
}

func (a asker) ask(field, value string) answer {
	a.t.Helper()
	req, err := json.Marshal(map[string]string{"host": "h", field: value})
	if err != nil {
		a.t.Fatal(err)
	}
	ans, err := a.try(string(req))
	if err != nil {
		a.t.Fatal(err)
	}
	if ans.ValidHost != "h" || ans.OriginalRequest[field] != value {
		a.t.Errorf("the answer to %s is to %v, of host %q", req, ans.OriginalRequest, ans.ValidHost)
	}
	return ans
}

// files returns the descriptors of an answer by name, and the first name.
func (a asker) files(ans answer) (files map[string]*descriptorpb.FileDescriptorProto, first string) {
	a.t.Helper()
	files = map[string]*descriptorpb.FileDescriptorProto{}
	for _, b := range ans.FileDescriptorResponse.FileDescriptorProto {
		fd := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(b, fd); err != nil {
			a.t.Fatal(err)
		}
		if first == "" {
			first = fd.GetName()
		}
		files[fd.GetName()] = fd
	}
	if first == "" {
		a.t.Fatalf("no files: %+v", ans)
	}
	return files, first
}

func (a asker) symbol(name string) (map[string]*descriptorpb.FileDescriptorProto, string) {
	a.t.Helper()
	return a.files(a.ask("fileContainingSymbol", name))
}

func (a asker) wantError(code codes.Code, field, value string) {
	a.t.Helper()
	if e := a.ask(field, value).ErrorResponse; e.ErrorCode != code || e.ErrorMessage == "" {
		a.t.Errorf("%s %q: got the error %v, want %v", field, value, e, code)
	}
}

func newServer(t testing.TB, opts ...reflection.Option) *ttrpc.Server {
	server := ttrpctest.NewServer(t)
	reflection.Register(server, opts...)
	inventory.RegisterInventoryService(server, struct{ inventory.InventoryService }{})
	return server
}

func TestServicesAreListed(t *testing.T) {
	server := newServer(t)
	server.Register("later", nil)
	var got []string
	for _, s := range newAsker(t, server).ask("listServices", "*").ListServicesResponse.Service {
		got = append(got, s.Name)
	}
	if want := []string{"grpc.reflection.v1.ServerReflection", "later", "ttrpc.example.inventory.v1.Inventory"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFilesOfProtobuf(t *testing.T) {
	const inventoryFile = "github.com/containerd/ttrpc/example/inventory/inventory.proto"
	a := newAsker(t, newServer(t))
	files, first := a.symbol("ttrpc.example.inventory.v1.Inventory.GetItem")
	if first != inventoryFile || len(files) != 2 || files["google/protobuf/duration.proto"] == nil {
		t.Errorf("first %q of %d files", first, len(files))
	}
	if want := protodesc.ToFileDescriptorProto(inventory.File_github_com_containerd_ttrpc_example_inventory_inventory_proto); !proto.Equal(files[first], want) {
		t.Errorf("got %v", files[first])
	}
	files, _ = a.symbol("ttrpc.example.inventory.v1.Item")
	if len(files) != 1 {
		t.Errorf("%d files come a second time, want the one asked for", len(files))
	}
	if _, first := a.files(a.ask("fileByFilename", inventoryFile)); first != inventoryFile {
		t.Errorf("by name: got %q", first)
	}
}

func TestProtocolDescribesItself(t *testing.T) {
	_, first := newAsker(t, newServer(t)).symbol("grpc.reflection.v1.ServerReflection.ServerReflectionInfo")
	if want := "grpc/reflection/v1/reflection.proto"; first != want {
		t.Errorf("the service is in %q, want %q", first, want)
	}
}

func TestFilesOfGogo(t *testing.T) {
	server := newServer(t, reflection.WithGogoFiles("gogoopts/gogoopts.proto"))
	gogoopts.RegisterPrefixedService(server, struct{ gogoopts.PrefixedService }{})
	a := newAsker(t, server)
	files, first := a.symbol("ttrpc.gentest.gogoopts.Prefixed")
	if first != "gogoopts/gogoopts.proto" {
		t.Errorf("the service is in %q", first)
	}
	for _, name := range files[first].Dependency {
		if files[name] == nil {
			t.Errorf("the file imports %s, which does not come with it", name)
		}
	}
	if n := len(files[first].Dependency); n != 3 {
		t.Errorf("%d imports, want 3", n)
	}
}

func TestGogoMessageWithoutOption(t *testing.T) {
	if _, first := newAsker(t, newServer(t)).symbol("ttrpc.gentest.gogoopts.Note"); first != "gogoopts/gogoopts.proto" {
		t.Errorf("the message is in %q", first)
	}
}

// doRequest is a message as of gogo's generator, of a file with imports that miss: one has
// a longer name than it is registered by, one is the file itself by a longer name.
type doRequest struct{}

func (*doRequest) Reset()                      {}
func (*doRequest) String() string              { return "" }
func (*doRequest) ProtoMessage()               {}
func (*doRequest) Descriptor() ([]byte, []int) { return doFile(), []int{0} }

var doFile = sync.OnceValue(func() []byte {
	b, err := proto.Marshal(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("do.proto"),
		Package:     proto.String("do.v1"),
		Dependency:  []string{"github.com/somebody/google/protobuf/duration.proto", "elsewhere/do.proto", "missing.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("DoRequest")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Doer"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Do"), InputType: proto.String(".do.v1.DoRequest"), OutputType: proto.String(".missing.Message"),
		}}}},
	})
	if err != nil {
		panic(err)
	}
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
})

func TestGogoServiceByItsMessages(t *testing.T) {
	gogo.RegisterType((*doRequest)(nil), "do.v1.DoRequest")
	gogo.RegisterFile("do.proto", doFile())
	server := newServer(t)
	server.Register("do.v1.Doer", map[string]ttrpc.Method{"Do": func(context.Context, func(any) error) (any, error) {
		t.Error("the method ran")
		return nil, nil
	}})
	a := newAsker(t, server)
	files, first := a.symbol("do.v1.Doer")
	if first != "do.proto" || len(files) != 2 {
		t.Fatalf("%q is first of %d files", first, len(files))
	}
	if want := "google/protobuf/duration.proto"; files[first].Dependency[0] != want || files[want] == nil {
		t.Errorf("the imports are %q", files[first].Dependency)
	}
	a.wantError(codes.NotFound, "fileContainingSymbol", "do.v1.Other")
}

func TestExtensions(t *testing.T) {
	a := newAsker(t, newServer(t))
	const numbers, item = "allExtensionNumbersOfType", "ttrpc.example.inventory.v1.Item"
	if got := a.ask(numbers, item).AllExtensionNumbersResponse; got.BaseTypeName != item || len(got.ExtensionNumber) != 0 {
		t.Errorf("got %v", got)
	}
	if got := a.ask(numbers, "google.protobuf.FieldOptions"); got.ErrorResponse.ErrorMessage != "" {
		t.Errorf("got %v", got)
	}
	a.wantError(codes.NotFound, numbers, "ttrpc.example.inventory.v1.Inventory")
	ans, err := a.try(`{"fileContainingExtension": {"containingType": "` + item + `", "extensionNumber": 1}}`)
	if err != nil || ans.ErrorResponse.ErrorCode != codes.NotFound {
		t.Errorf("got %v, %v", ans, err)
	}
}

func TestRequestsThatNothingAnswers(t *testing.T) {
	a := newAsker(t, newServer(t))
	ans, err := a.try(`{"host": "h"}`)
	if err != nil || ans.ErrorResponse.ErrorCode != codes.InvalidArgument {
		t.Errorf("got %v, %v", ans, err)
	}
	for _, name := range []string{"", ".", "no.such", "ttrpc.example.inventory.v1.", "\x00", strings.Repeat("a.", 1<<10)} {
		a.wantError(codes.NotFound, "fileContainingSymbol", name)
		a.wantError(codes.NotFound, "fileByFilename", name)
	}
}

// TestAnswerLongerThanTheLimit has a client that accepts less than the file is long.
func TestAnswerLongerThanTheLimit(t *testing.T) {
	server := ttrpctest.NewServer(t, ttrpc.WithServerLimits(ttrpc.Limits{MaxMessageLength: 1 << 10}))
	reflection.Register(server)
	newAsker(t, server).wantError(codes.ResourceExhausted, "fileContainingSymbol", "google.protobuf.FileDescriptorProto")
}

// TestStreamsAskAtOnce is for the race detector.
func TestStreamsAskAtOnce(t *testing.T) {
	server := newServer(t)
	gogoopts.RegisterPrefixedService(server, struct{ gogoopts.PrefixedService }{})
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := 0; i < 8; i++ {
		a := newAsker(t, server)
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-start
			for _, name := range []string{"ttrpc.gentest.gogoopts.Note", "google.protobuf.Any", "gogoproto.goproto_getters"} {
				ans, err := a.try(`{"fileContainingSymbol": "` + name + `"}`)
				if err != nil || len(ans.FileDescriptorResponse.FileDescriptorProto) == 0 {
					t.Error(err, ans)
				}
			}
		}()
	}
	close(start)
	wg.Wait()
}
