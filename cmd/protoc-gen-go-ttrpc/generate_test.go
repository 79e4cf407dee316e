package main

import (
	"bytes"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	// The golden packages, whose descriptors are the requests of the tests.
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/basic"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/keyword"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/legacy"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/names"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/nopackage"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/optional"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/public"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/split"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/wellknown"
)

// requestFor asks for the code of some of the golden files. The descriptors have
// no comments: protoc-gen-go leaves those out.
func requestFor(t *testing.T, parameter string, files ...string) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: &parameter}
	seen := make(map[string]bool)
	var add func(protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := 0; i < fd.Imports().Len(); i++ {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		req.ProtoFile = append(req.ProtoFile, protodesc.ToFileDescriptorProto(fd))
	}
	for _, path := range files {
		fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err != nil {
			t.Fatal(err)
		}
		add(fd)
	}
	return req
}

// run answers a request as the command does.
func run(t *testing.T, req *pluginpb.CodeGeneratorRequest) (resp *pluginpb.CodeGeneratorResponse, stderr string, code int) {
	t.Helper()
	in, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = command().Run(nil, bytes.NewReader(in), &out, &errs)
	resp = new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
		t.Fatal(err)
	}
	return resp, errs.String(), code
}

// files runs a request that is to succeed without a word.
func files(t *testing.T, req *pluginpb.CodeGeneratorRequest) map[string]string {
	t.Helper()
	resp, stderr, code := run(t, req)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	content := make(map[string]string)
	for _, f := range resp.File {
		content[f.GetName()] = f.GetContent()
	}
	return content
}

// The checked-in code, apart from comments, is the generator's output today.
// `make checkgenerate` compares the comments too, from the proto files.
func TestGolden(t *testing.T) {
	const root = "../../"
	got := files(t, requestFor(t, "module=github.com/containerd/ttrpc",
		"basic/basic.proto", "imports/imports.proto", "imports/io/io.proto", "keyword/keyword.proto",
		"legacy/legacy.proto", "names/names.proto", "names/same.proto", "nopackage/nopackage.proto",
		"optional/optional.proto",
		"public/public.proto", "public/same.proto",
		"split/messages.proto", "split/service.proto", "wellknown/wellknown.proto"))
	golden := 0
	err := filepath.Walk(root+"internal/gentest/testdata/pbgo", func(path string, _ os.FileInfo, err error) error {
		if err != nil || !strings.HasSuffix(path, "_ttrpc.pb.go") {
			return err
		}
		golden++
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, filepath.FromSlash(root)))
		if uncommented(t, got[name]) != uncommented(t, string(want)) {
			t.Errorf("%s: the generator writes other code:\n%s", name, got[name])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Files without services have no stubs.
	if golden == 0 || golden != len(got) {
		t.Errorf("the generator wrote %d files, %d are checked in", len(got), golden)
	}
}

// uncommented returns Go code without its comments and blank lines.
func uncommented(t *testing.T, code string) string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := format.Node(&b, fset, file); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(b.String(), "\n") {
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func TestFileNames(t *testing.T) {
	const goPackage = "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/nopackage"
	for parameter, want := range map[string]string{
		"":                                        goPackage + "/nopackage_ttrpc.pb.go",
		"paths=import":                            goPackage + "/nopackage_ttrpc.pb.go",
		"paths=source_relative":                   "nopackage/nopackage_ttrpc.pb.go",
		"module=github.com/containerd":            "ttrpc/internal/gentest/testdata/pbgo/nopackage/nopackage_ttrpc.pb.go",
		"Mnopackage/nopackage.proto=a.test/b":     "a.test/b/nopackage_ttrpc.pb.go",
		"paths=source_relative,prefix=A":          "nopackage/nopackage_ttrpc.pb.go",
		"Mother.proto=a.test/o,module=github.com": strings.TrimPrefix(goPackage, "github.com/") + "/nopackage_ttrpc.pb.go",
	} {
		got := files(t, requestFor(t, parameter, "nopackage/nopackage.proto"))
		if len(got) != 1 || got[want] == "" {
			t.Errorf("%s: got %d files, none of them %s", parameter, len(got), want)
		}
	}
}

func TestPackageOption(t *testing.T) {
	got := files(t, requestFor(t, "paths=source_relative,Mnopackage/nopackage.proto=a.test/b;c", "nopackage/nopackage.proto"))
	if code := got["nopackage/nopackage_ttrpc.pb.go"]; !strings.Contains(code, "\npackage c\n") {
		t.Errorf("the code is not in package c:\n%s", code)
	}
}

func TestPrefix(t *testing.T) {
	code := files(t, requestFor(t, "paths=source_relative,prefix=TTRPC", "basic/basic.proto"))["basic/basic_ttrpc.pb.go"]
	for _, want := range []string{
		"type TTRPCNotesService interface {",
		"func RegisterTTRPCNotesService(srv *ttrpc.Server, svc TTRPCNotesService) {",
		`srv.RegisterService("ttrpc.gentest.basic.Notes", `,
		"func NewTTRPCNotesClient(client *ttrpc.Client) TTRPCNotesClient {",
		"type TTRPCNotesClient interface {",
		"type TTRPCNotes_WatchServer interface {",
		"type TTRPCNotes_WatchClient interface {",
		"func NewTTRPCPlainClient(client *ttrpc.Client) TTRPCPlainService {",
		"type ttrpcNotesClient struct {",
	} {
		if !strings.Contains(code, want) {
			t.Errorf("the code lacks %s", want)
		}
	}
	if strings.Contains(code, "type NotesService") {
		t.Error("a service is without the prefix")
	}
}

// With client=interface clients take a Caller, and nothing else differs.
func TestClientInterface(t *testing.T) {
	plain := files(t, requestFor(t, "paths=source_relative", "basic/basic.proto"))["basic/basic_ttrpc.pb.go"]
	code := files(t, requestFor(t, "paths=source_relative,client=interface", "basic/basic.proto"))["basic/basic_ttrpc.pb.go"]
	if want := strings.ReplaceAll(plain, "*ttrpc.Client", "ttrpc.Caller"); plain == want || uncommented(t, code) != uncommented(t, want) {
		t.Errorf("got\n%s", code)
	}
	_, stderr, exit := run(t, requestFor(t, "client=pool", "basic/basic.proto"))
	if exit != 1 || !strings.Contains(stderr, "option client=pool: only client=interface is known") {
		t.Errorf("client=pool: exit code %d, stderr %q", exit, stderr)
	}
}

// The interfaces of a server and of a client say which they are, before the comment of
// the proto file.
func TestOwnComments(t *testing.T) {
	code := files(t, requestFor(t, "paths=source_relative", "basic/basic.proto"))["basic/basic_ttrpc.pb.go"]
	for _, want := range []string{
		"// NotesService is the service ttrpc.gentest.basic.Notes, for a server to implement.\n",
		"// NotesClient is a client of the service ttrpc.gentest.basic.Notes, as NewNotesClient returns it.\n",
		"// PlainService is the service ttrpc.gentest.basic.Plain: a server implements it, and NewPlainClient returns a client.\n",
	} {
		if !strings.Contains(code, want) {
			t.Errorf("the code lacks %q", want)
		}
	}
}

func TestUnknownOption(t *testing.T) {
	for _, option := range []string{"path=source_relative", "plugins=grpc", "verbose"} {
		resp, stderr, code := run(t, requestFor(t, "paths=source_relative,"+option, "basic/basic.proto"))
		name, _, _ := strings.Cut(option, "=")
		want := "protoc-gen-go-ttrpc: unknown option \"" + name + "\"; see protoc-gen-go-ttrpc -help\n"
		if code != 1 || stderr != want || len(resp.File) != 0 {
			t.Errorf("%s: exit code %d, %d files, stderr %q; want code 1, none, %q", option, code, len(resp.File), stderr, want)
		}
	}
}

// The compilers refuse proto3 optional fields and editions on behalf of a plugin
// that does not claim to support them.
func TestFeatures(t *testing.T) {
	resp, _, _ := run(t, requestFor(t, "", "optional/optional.proto"))
	const features = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	if got := resp.GetSupportedFeatures(); got != features {
		t.Errorf("supported features are %b, want %b", got, features)
	}
	if low, high := resp.GetMinimumEdition(), resp.GetMaximumEdition(); low > int32(descriptorpb.Edition_EDITION_PROTO2) || high < int32(descriptorpb.Edition_EDITION_2023) {
		t.Errorf("supports editions %d to %d; 2023 must be among them", low, high)
	}
}

func TestEdition2023(t *testing.T) {
	req := requestFor(t, "paths=source_relative", "nopackage/nopackage.proto")
	req.ProtoFile[0].Syntax = proto.String("editions")
	req.ProtoFile[0].Edition = descriptorpb.Edition_EDITION_2023.Enum()
	if code := files(t, req)["nopackage/nopackage_ttrpc.pb.go"]; !strings.Contains(code, "type BareService interface {") {
		t.Errorf("no service in\n%s", code)
	}
}

// A file of an edition that the protobuf library does not know may import others
// in ways that the library does not know either, such as "import option".
func TestNewerEdition(t *testing.T) {
	req := requestFor(t, "paths=source_relative", "nopackage/nopackage.proto")
	// A file that only the newer edition can import has no Go package.
	option := &descriptorpb.FileDescriptorProto{Name: proto.String("opts/cpp.proto"), Syntax: proto.String("proto3")}
	req.ProtoFile = append([]*descriptorpb.FileDescriptorProto{option}, req.ProtoFile...)
	newer := newestEdition() + 1
	req.ProtoFile[1].Syntax, req.ProtoFile[1].Edition = proto.String("editions"), newer.Enum()
	edition := strings.TrimPrefix(newer.String(), "EDITION_")

	resp, stderr, code := run(t, req)
	want := regexp.MustCompile(`^protoc-gen-go-ttrpc: nopackage/nopackage\.proto: ` +
		`this program was built with google\.golang\.org/protobuf (v1\.\d+\.\d+|\(unknown\)), ` +
		`which does not know edition ` + edition + `(; v1\.\d+\.\d+ does)?\n$`)
	if code != 1 || len(resp.File) > 0 || !want.MatchString(stderr) {
		t.Errorf("exit code %d, %d files, stderr %q; want code 1 and %s", code, len(resp.File), stderr, want)
	}
	if newer == descriptorpb.Edition_EDITION_2024 && !strings.Contains(stderr, "v1.36.9 does") {
		t.Errorf("stderr does not say which version knows edition 2024: %s", stderr)
	}
}

// Comments and deprecations go to the declarations that a user of the code sees.
func TestCommentsAndDeprecation(t *testing.T) {
	req := requestFor(t, "paths=source_relative", "basic/basic.proto")
	file := req.ProtoFile[0]
	file.Options.Deprecated = proto.Bool(true)
	location := func(comment string, path ...int32) *descriptorpb.SourceCodeInfo_Location {
		return &descriptorpb.SourceCodeInfo_Location{Path: path, Span: []int32{0, 0, 0}, LeadingComments: &comment}
	}
	file.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
		// Characters that a Go file may not have, and bytes that are none.
		location("\ufeff Notes has a\x00 comment, ünïcödé.\xff\n", 6, 0),
		location(" Echo has\ufeff one too. */\xc3\n", 6, 0, 2, 0),
		location("go:generate false\n", 6, 0, 2, 2),
	}}
	code := files(t, req)["basic/basic_ttrpc.pb.go"]
	for _, want := range []string{
		"// source: basic/basic.proto\n// basic/basic.proto is a deprecated file.\n\npackage basic\n",
		"// Notes has a comment, ünïcödé.\ntype NotesService interface {\n\t// Echo has one too. */\n\tEcho(",
		"// Notes has a comment, ünïcödé.\ntype NotesClient interface {\n\t// Echo has one too. */\n\tEcho(",
		"\t// go:generate false\n\tWatch(context.Context, *Note, Notes_WatchServer) error\n",
		"\t// Deprecated: Marked as deprecated in basic/basic.proto.\n\tOld(",
		"//\n// Deprecated: Marked as deprecated in basic/basic.proto.\ntype RetiredService interface {",
		"//\n// Deprecated: Marked as deprecated in basic/basic.proto.\nfunc RegisterRetiredService(",
		"//\n// Deprecated: Marked as deprecated in basic/basic.proto.\nfunc NewRetiredClient(",
		"//\n// Deprecated: Marked as deprecated in basic/basic.proto.\ntype Notes_OldWatchServer interface {",
		"//\n// Deprecated: Marked as deprecated in basic/basic.proto.\ntype Notes_OldWatchClient interface {",
	} {
		if !strings.Contains(code, want) {
			t.Errorf("the code lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(code)
	}
}

// The default of a field is a constant, whose name stubs may want.
func TestDefaultsTakeNames(t *testing.T) {
	req := requestFor(t, "paths=source_relative", "legacy/legacy.proto")
	file := req.ProtoFile[0]
	file.Service[0].Name = proto.String("Default_Note_Size")
	field := file.MessageType[0].Field[1]
	field.Name, field.JsonName, field.DefaultValue = proto.String("size_service"), nil, proto.String("1")
	if code := files(t, req)["legacy/legacy_ttrpc.pb.go"]; !strings.Contains(code, "type Default_Note_SizeService_ interface {") {
		t.Errorf("the service has another name in\n%s", code)
	}
}

// A request that cannot be served ends in one message and no response.
func TestErrors(t *testing.T) {
	request := func(parameter string, change func(*descriptorpb.FileDescriptorProto)) []byte {
		req := requestFor(t, parameter, "nopackage/nopackage.proto")
		if change != nil {
			change(req.ProtoFile[0])
		}
		b, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	missing, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{FileToGenerate: []string{"missing.proto"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		stdin []byte
		want  string
	}{
		{"a proto file", []byte("syntax = \"proto3\";\n"), "standard input is not a CodeGeneratorRequest: "},
		{"not a request", []byte{0x10, 0x01}, "standard input is not a CodeGeneratorRequest: it names no file to generate"},
		{"missing file", missing, "missing.proto"},
		{"no go_package", request("", func(f *descriptorpb.FileDescriptorProto) { f.Options = nil }), "unable to determine Go import path"},
		{"keyword", request("Mnopackage/nopackage.proto=a.test/b;func", nil), `nopackage/nopackage.proto: "func" cannot be the name of a Go package`},
		{"prefix", request("prefix=a-b", nil), "option prefix=a-b: not the beginning of a Go name"},
		{"paths", request("paths=flat", nil), `unknown path type "flat"`},
		{"module", request("module=example.com/x", nil), `does not match prefix "example.com/x"`},
		{"edition", request("", func(f *descriptorpb.FileDescriptorProto) {
			f.Syntax, f.Edition = proto.String("editions"), descriptorpb.Edition_EDITION_99999_TEST_ONLY.Enum()
		}), "edition"},
		{"unknown type", request("", func(f *descriptorpb.FileDescriptorProto) {
			f.Service[0].Method[0].InputType = proto.String(".Missing")
		}), "Missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := command().Run(nil, bytes.NewReader(test.stdin), &stdout, &stderr)
			message := stderr.String()
			if code != 1 || stdout.Len() > 0 || !strings.HasPrefix(message, "protoc-gen-go-ttrpc: ") || !strings.Contains(message, test.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want code 1 and a message with %q", code, stdout.String(), message, test.want)
			}
			if n := strings.Count(message, "protoc-gen-go-ttrpc:"); n != 1 {
				t.Errorf("%d messages, want 1: %s", n, message)
			}
		})
	}
}
