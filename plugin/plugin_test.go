package plugin_test

import (
	"strings"
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	"github.com/gogo/protobuf/protoc-gen-gogo/generator"

	_ "github.com/containerd/ttrpc/plugin"
)

// A project's own generator has nothing of the plugin but the import above.
func TestRegistersByImport(t *testing.T) {
	g := generator.New()
	g.Request.FileToGenerate = []string{"s.proto"}
	g.Request.Parameter = proto.String("plugins=ttrpc")
	g.Request.ProtoFile = []*descriptor.FileDescriptorProto{{
		Name:        proto.String("s.proto"),
		Package:     proto.String("p"),
		Syntax:      proto.String("proto3"),
		Options:     &descriptor.FileOptions{GoPackage: proto.String("example.com/p")},
		MessageType: []*descriptor.DescriptorProto{{Name: proto.String("M")}},
		Service: []*descriptor.ServiceDescriptorProto{{
			Name: proto.String("S"),
			Method: []*descriptor.MethodDescriptorProto{
				{Name: proto.String("Do"), InputType: proto.String(".p.M"), OutputType: proto.String(".p.M")},
			},
		}},
	}}
	g.CommandLineParameters(g.Request.GetParameter())
	g.WrapTypes()
	g.SetPackageNames()
	g.BuildTypeNameMap()
	g.GenerateAllFiles()

	if len(g.Response.File) != 1 {
		t.Fatalf("got %d files, want 1", len(g.Response.File))
	}
	code := g.Response.File[0].GetContent()
	for _, want := range []string{
		`github_com_containerd_ttrpc "github.com/containerd/ttrpc"`,
		"type SService interface {\n\tDo(ctx context.Context, req *M) (*M, error)\n}",
		"func RegisterSService(srv *github_com_containerd_ttrpc.Server, svc SService) {\n\tif svc == nil {",
		"\tsrv.Register(\"p.S\", map[string]github_com_containerd_ttrpc.Method{",
		"func NewSClient(client *github_com_containerd_ttrpc.Client) SService {",
		`c.client.Call(ctx, "p.S", "Do", req, resp)`,
	} {
		if !strings.Contains(code, want) {
			t.Errorf("the code lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(code)
	}
}
