package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/gogo/protobuf/gogoproto"
	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	plugin "github.com/gogo/protobuf/protoc-gen-gogo/plugin"
	"google.golang.org/protobuf/encoding/protowire"

	// The golden packages, whose descriptors are the requests of the tests.
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/basic"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/gogoopts"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/keyword"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/legacy"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/names"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/nopackage"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/public"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/split"
	_ "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/wellknown"
)

// asCommand in the environment makes the test binary be the command, for gogo's
// generator ends the process when it fails.
const asCommand = "TTRPC_TEST_PROTOC_GEN_GOGOTTRPC"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// run runs the command.
func run(t *testing.T, stdin []byte, args ...string) (stdout []byte, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), errs.String(), code
}

// requestFor asks for the code of golden files of one package. The descriptors
// have no comments: gogo leaves those out.
func requestFor(t *testing.T, parameter string, files ...string) *plugin.CodeGeneratorRequest {
	t.Helper()
	req := &plugin.CodeGeneratorRequest{FileToGenerate: files, Parameter: &parameter}
	seen := make(map[string]bool)
	var add func(string)
	add = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		fd := registered(t, name)
		for _, dep := range fd.Dependency {
			add(dep)
		}
		req.ProtoFile = append(req.ProtoFile, fd)
	}
	for _, name := range files {
		add(name)
	}
	return req
}

// registered returns the descriptor that a generated package has registered.
func registered(t *testing.T, name string) *descriptor.FileDescriptorProto {
	t.Helper()
	compressed := proto.FileDescriptor(name)
	if compressed == nil {
		// gogo's own files are registered by the names they had in the
		// directory where they were generated.
		compressed = proto.FileDescriptor(path.Base(name))
	}
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	fd := new(descriptor.FileDescriptorProto)
	if err := proto.Unmarshal(b, fd); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	fd.Name = &name
	// The command sets options of the file; it is to set them again.
	if fd.Options != nil {
		proto.ClearAllExtensions(fd.Options)
	}
	return fd
}

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answer runs a request that is to succeed, and returns its files and warnings.
func answer(t *testing.T, req *plugin.CodeGeneratorRequest) (files map[string]string, warnings string) {
	t.Helper()
	stdout, stderr, code := run(t, encode(t, req))
	if code != 0 {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	resp := new(plugin.CodeGeneratorResponse)
	if err := proto.Unmarshal(stdout, resp); err != nil {
		t.Fatal(err)
	}
	files = make(map[string]string)
	for _, f := range resp.File {
		files[f.GetName()] = f.GetContent()
	}
	return files, stderr
}

const gogoPackages = "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/"

// parameter is the one that the golden packages are generated with.
func parameter() string {
	p := "plugins=ttrpc,paths=source_relative"
	for _, name := range []string{"any", "duration", "empty", "struct", "timestamp", "wrappers"} {
		p += ",Mgoogle/protobuf/" + name + ".proto=github.com/gogo/protobuf/types"
	}
	for _, dir := range []string{"one/types", "two/types", "context", "ttrpc", "req", "client", "stream", "io"} {
		p += ",Mimports/" + dir + "/" + path.Base(dir) + ".proto=" + gogoPackages + "imports/" + dir
	}
	for _, dir := range []string{"inner", "other", "deeper"} {
		p += ",Mpublic/" + dir + "/" + dir + ".proto=" + gogoPackages + "public/" + dir
	}
	return p
}

// The checked-in code, apart from comments, is the generator's output today.
// `make checkgenerate` compares the comments too, from the proto files.
func TestGolden(t *testing.T) {
	for _, golden := range [][]string{
		{"basic/basic.proto"},
		{"gogoopts/gogoopts.proto"},
		{"imports/imports.proto"},
		{"imports/io/io.proto"},
		{"keyword/keyword.proto"},
		{"legacy/legacy.proto"},
		{"names/names.proto", "names/same.proto"},
		{"nopackage/nopackage.proto"},
		{"public/public.proto", "public/same.proto"},
		{"split/messages.proto", "split/service.proto"},
		{"wellknown/wellknown.proto"},
	} {
		t.Run(golden[0], func(t *testing.T) {
			files, warnings := answer(t, requestFor(t, parameter(), golden...))
			if len(files) != len(golden) || warnings != "" {
				t.Errorf("%d files, want %d; stderr %q", len(files), len(golden), warnings)
			}
			for name, got := range files {
				want, err := os.ReadFile("../../internal/gentest/testdata/gogo/" + name)
				if err != nil {
					t.Fatal(err)
				}
				if uncommented(t, got) != uncommented(t, string(want)) {
					t.Errorf("%s: the generator writes other code:\n%s", name, got)
				}
			}
		})
	}
}

// uncommented returns Go code without its comments, blank lines, and encoded
// descriptor, which has the options that protobuf libraries reorder.
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
		if line != "" && !strings.HasPrefix(strings.TrimSpace(line), "0x") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func TestImports(t *testing.T) {
	for name, test := range map[string]struct {
		req  *plugin.CodeGeneratorRequest
		want bool
	}{
		"service":    {requestFor(t, parameter(), "nopackage/nopackage.proto"), true},
		"no service": {requestFor(t, parameter(), "split/messages.proto"), false},
		"not asked":  {requestFor(t, "paths=source_relative", "nopackage/nopackage.proto"), false},
	} {
		files, _ := answer(t, test.req)
		for _, code := range files {
			for _, pkg := range []string{`context "context"`, `"github.com/containerd/ttrpc"`} {
				if strings.Contains(code, pkg) != test.want {
					t.Errorf("%s: importing %s is %v, want %v", name, pkg, !test.want, test.want)
				}
			}
			if strings.Contains(code, "typeurl") {
				t.Errorf("%s: typeurl is imported", name)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for parameter, want := range map[string]string{
		"":                        "protoc-gen-gogottrpc: warning: no services are generated without the option plugins=ttrpc\n",
		"plugins=grpc":            "",
		"plugins=none":            "",
		"plugins=ttrpc,Ma=b":      "",
		"plugins=ttrpc+grpc+size": "",
		"plugins=ttrpc+fieldpath": "protoc-gen-gogottrpc: warning: unknown plugin \"fieldpath\" ignored\n",
	} {
		if _, warnings := answer(t, requestFor(t, parameter, "nopackage/nopackage.proto")); warnings != want {
			t.Errorf("%q: stderr %q, want %q", parameter, warnings, want)
		}
	}
	if _, warnings := answer(t, requestFor(t, "", "split/messages.proto")); warnings != "" {
		t.Errorf("without a service: stderr %q", warnings)
	}
}

// A type of another generator than gogo's is worth a warning, one for each file.
func TestForeignTypes(t *testing.T) {
	const known = "google.golang.org/protobuf/types/known/"
	warning := func(file, typeName, goPackage, imported, mapped string) string {
		return fmt.Sprintf("protoc-gen-gogottrpc: warning: %s: %s is of the Go package %q, which is not gogo's; the option M%s=%s changes that\n",
			file, typeName, goPackage, imported, mapped)
	}
	request := func(name string) *plugin.CodeGeneratorRequest {
		req := requestFor(t, "plugins=ttrpc", name)
		for _, f := range req.ProtoFile {
			if dir, base := path.Split(f.GetName()); dir == "google/protobuf/" {
				// As in the proto files that come with protoc.
				f.Options.GoPackage = proto.String(known + strings.TrimSuffix(base, ".proto") + "pb")
			}
		}
		return req
	}
	wellKnown := request("wellknown/wellknown.proto")
	mapped := request("wellknown/wellknown.proto")
	for _, name := range []string{"any", "duration", "struct", "timestamp", "wrappers"} {
		*mapped.Parameter += ",Mgoogle/protobuf/" + name + ".proto=github.com/gogo/protobuf/types"
	}
	// gogo's own copies name no package that could be imported.
	bare := requestFor(t, mapped.GetParameter(), "wellknown/wellknown.proto")
	for _, f := range bare.ProtoFile[:len(bare.ProtoFile)-1] {
		f.Options.GoPackage = proto.String("types")
	}
	extension := request("gogoopts/gogoopts.proto")
	extension.Parameter = mapped.Parameter
	extension.ProtoFile[len(extension.ProtoFile)-1].Extension = []*descriptor.FieldDescriptorProto{{
		Name: proto.String("mark"), Number: proto.Int32(50000), Extendee: proto.String(".google.protobuf.FieldOptions"),
		Type: descriptor.FieldDescriptorProto_TYPE_BOOL.Enum(), Label: descriptor.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}}
	const gogoTypes = "github.com/gogo/protobuf/types"
	emptyWarning := func(goPackage string) string {
		return warning("wellknown/wellknown.proto", "google.protobuf.Empty", goPackage, "google/protobuf/empty.proto", gogoTypes)
	}
	for _, test := range []struct {
		name string
		req  *plugin.CodeGeneratorRequest
		want string
	}{
		{"one mapped too few", mapped, emptyWarning(known + "emptypb")},
		{"without a package", bare, emptyWarning("types")},
		{"all mapped", requestFor(t, parameter(), "wellknown/wellknown.proto"), ""},
		{"extension", extension, warning("gogoopts/gogoopts.proto", "google.protobuf.FieldOptions", known+"descriptorpb",
			"google/protobuf/descriptor.proto", "github.com/gogo/protobuf/protoc-gen-gogo/descriptor")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, warnings := answer(t, test.req); warnings != test.want {
				t.Errorf("stderr %q, want %q", warnings, test.want)
			}
		})
	}
	if _, warnings := answer(t, wellKnown); strings.Count(warnings, "\n") != 6 {
		t.Errorf("6 files are imported, the warnings are\n%s", warnings)
	}
}

// Comments and deprecations go to the declarations that a user of the code sees.
func TestCommentsAndDeprecation(t *testing.T) {
	req := requestFor(t, parameter(), "basic/basic.proto")
	location := func(comment string, path ...int32) *descriptor.SourceCodeInfo_Location {
		return &descriptor.SourceCodeInfo_Location{Path: path, Span: []int32{0, 0, 0}, LeadingComments: &comment}
	}
	req.ProtoFile[0].SourceCodeInfo = &descriptor.SourceCodeInfo{Location: []*descriptor.SourceCodeInfo_Location{
		// Characters that a Go file may not have, and bytes that are none.
		location("\ufeff Notes has a\x00 comment, ünïcödé.\xff\n", 6, 0),
		location(" Echo has\ufeff one too. */\xc3\n", 6, 0, 2, 0),
		location("go:generate false\n", 6, 0, 2, 2),
	}}
	files, _ := answer(t, req)
	code := files["basic/basic.pb.go"]
	for _, want := range []string{
		"// Notes has a comment, ünïcödé.\ntype NotesService interface {\n\t// Echo has one too. */\n\tEcho(",
		"// Notes has a comment, ünïcödé.\ntype NotesClient interface {\n\t// Echo has one too. */\n\tEcho(",
		"\t// go:generate false\n\tWatch(ctx context.Context, req *Note, stream Notes_WatchServer) error\n",
		"\t// Deprecated: Marked as deprecated in basic/basic.proto.\n\tOld(",
		"//\n// Deprecated: Marked as deprecated in basic/basic.proto.\ntype RetiredService interface {",
	} {
		if !strings.Contains(code, want) {
			t.Errorf("the code lacks %q", want)
		}
	}
}

// The default of a field is a constant, whose name stubs may want.
func TestDefaultsTakeNames(t *testing.T) {
	req := requestFor(t, parameter(), "legacy/legacy.proto")
	file := req.ProtoFile[0]
	file.Service[0].Name = proto.String("Default_Note_Size")
	field := file.MessageType[0].Field[1]
	field.Name, field.JsonName, field.DefaultValue = proto.String("size_service"), nil, proto.String("1")
	// gogo wants a getter for a default.
	if err := proto.SetExtension(file.Options, gogoproto.E_GoprotoGettersAll, proto.Bool(true)); err != nil {
		t.Fatal(err)
	}
	files, _ := answer(t, req)
	if code := files["legacy/legacy.pb.go"]; !strings.Contains(code, "type Default_Note_SizeService_ interface {") {
		t.Errorf("the service has another name in\n%s", code)
	}
}

// A request that cannot be served ends in one message and no response.
func TestErrors(t *testing.T) {
	change := func(change func(*plugin.CodeGeneratorRequest)) []byte {
		req := requestFor(t, parameter(), "nopackage/nopackage.proto")
		change(req)
		return encode(t, req)
	}
	file := func(f func(*descriptor.FileDescriptorProto)) []byte {
		return change(func(req *plugin.CodeGeneratorRequest) { f(req.ProtoFile[0]) })
	}
	for _, test := range []struct {
		name  string
		stdin []byte
		want  string
	}{
		{"nothing", nil, "no request on standard input"},
		{"a proto file", []byte("syntax = \"proto3\";\n"), "standard input is not a CodeGeneratorRequest: "},
		{"not a request", []byte{0x10, 0x01}, "standard input is not a CodeGeneratorRequest: it names no file to generate"},
		{"missing file", change(func(req *plugin.CodeGeneratorRequest) { req.ProtoFile = nil }), "nopackage/nopackage.proto: the request has no such file"},
		{"missing import", file(func(f *descriptor.FileDescriptorProto) { f.Dependency = []string{"missing.proto"} }), ""},
		{"paths", change(func(req *plugin.CodeGeneratorRequest) { req.Parameter = proto.String("plugins=ttrpc,paths=flat") }), `Unknown path type "flat"`},
		{"option", change(func(req *plugin.CodeGeneratorRequest) {
			req.Parameter = proto.String("plugins=ttrpc,path=source_relative")
		}), `unknown option "path"; see protoc-gen-gogottrpc -help`},
		{"edition", file(func(f *descriptor.FileDescriptorProto) { f.Syntax = proto.String("editions") }),
			"nopackage/nopackage.proto: gogo/protobuf knows proto2 and proto3, not editions"},
		{"optional", file(func(f *descriptor.FileDescriptorProto) {
			field := f.MessageType[0].Field[0]
			field.XXX_unrecognized = protowire.AppendVarint(protowire.AppendTag(nil, 17, protowire.VarintType), 1)
		}), "nopackage/nopackage.proto: field BareNote.text: gogo/protobuf has no optional fields in proto3"},
		{"group", file(func(f *descriptor.FileDescriptorProto) {
			f.MessageType[0].Field[0].Type = descriptor.FieldDescriptorProto_TYPE_GROUP.Enum()
			f.MessageType[0].Field[0].TypeName = proto.String(".BareNote")
		}), ""},
		{"unknown type", file(func(f *descriptor.FileDescriptorProto) {
			f.Service[0].Method[0].InputType = proto.String(".Missing")
		}), "can't find object with type .Missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, message, code := run(t, test.stdin)
			if code != 1 || len(stdout) > 0 || !strings.HasPrefix(message, "protoc-gen-gogottrpc: "+test.want) {
				t.Errorf("exit code %d, %d bytes on stdout, stderr %q; want code 1 and a message that begins with %q", code, len(stdout), message, test.want)
			}
			if n := strings.Count(message, "\n"); n != 1 {
				t.Errorf("%d lines, want 1: %s", n, message)
			}
		})
	}
	if _, message, code := run(t, nil, "-frobnicate"); code != 2 || !strings.Contains(message, `unknown argument "-frobnicate"`) {
		t.Errorf("exit code %d, stderr %q", code, message)
	}
}

func TestVersion(t *testing.T) {
	stdout, stderr, code := run(t, nil, "-version")
	if fields := strings.Fields(string(stdout)); code != 0 || len(fields) < 2 || fields[0] != "protoc-gen-gogottrpc" || stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// With client=interface clients take a Caller.
func TestClientInterface(t *testing.T) {
	files, warnings := answer(t, requestFor(t, "plugins=ttrpc,paths=source_relative,client=interface", "basic/basic.proto"))
	code := files["basic/basic.pb.go"]
	if !strings.Contains(code, "func NewNotesClient(client github_com_containerd_ttrpc.Caller) NotesClient {") ||
		strings.Contains(code, "*github_com_containerd_ttrpc.Client") || warnings != "" {
		t.Errorf("warnings %q, code\n%s", warnings, code)
	}
}
