package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	"github.com/gogo/protobuf/protoc-gen-gogo/generator"
	plugin "github.com/gogo/protobuf/protoc-gen-gogo/plugin"
	"github.com/gogo/protobuf/vanity"
	vanitycommand "github.com/gogo/protobuf/vanity/command"
	"google.golang.org/protobuf/encoding/protowire"
)

func init() {
	// gogo's plugins import these packages under these names and do not check the
	// packages of messages, which must therefore get other names.
	for _, name := range []string{"bytes", "encoding_binary", "errors", "io", "math_bits", "reflect", "sort", "strconv", "strings", "time"} {
		generator.RegisterUniquePackageName(name, nil)
	}
	// If gogo's generator fails, it logs the error and ends the process.
	log.SetFlags(0)
	log.SetOutput(renamer{})
}

// renamer writes gogo's messages to stderr under the name of this command.
type renamer struct{}

func (renamer) Write(p []byte) (int, error) {
	_, err := os.Stderr.Write(bytes.Replace(p, []byte("protoc-gen-gogo: error:"), []byte("protoc-gen-gogottrpc: "), 1))
	return len(p), err
}

// generate answers one encoded CodeGeneratorRequest.
func generate(request []byte, warn func(string, ...any)) ([]byte, error) {
	req := new(plugin.CodeGeneratorRequest)
	if err := proto.Unmarshal(request, req); err != nil {
		return nil, fmt.Errorf("standard input is not a CodeGeneratorRequest: %w", err)
	}
	if len(req.FileToGenerate) == 0 {
		return nil, errors.New("standard input is not a CodeGeneratorRequest: it names no file to generate")
	}
	files, err := requested(req)
	if err != nil {
		return nil, err
	}
	services := false
	for _, f := range files {
		if err := supported(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.GetName(), err)
		}
		services = services || len(f.Service) > 0
	}
	plugins, err := checkOptions(req.GetParameter(), warn)
	if err != nil {
		return nil, err
	}
	if !plugins && services {
		warn("no services are generated without the option plugins=ttrpc")
	}

	checkImports(req, files, warn)

	files = vanity.FilterFiles(files, vanity.NotGoogleProtobufDescriptorProto)
	for _, set := range []func(*descriptor.FileDescriptorProto){
		vanity.TurnOnMarshalerAll,
		vanity.TurnOnUnmarshalerAll,
		vanity.TurnOnSizerAll,
		vanity.TurnOnStringerAll,
		vanity.TurnOffGoGettersAll,
		vanity.TurnOffGoStringerAll,
	} {
		vanity.ForEachFile(files, set)
	}
	return proto.Marshal(vanitycommand.Generate(req))
}

// requested returns the files for which the request wants code.
func requested(req *plugin.CodeGeneratorRequest) ([]*descriptor.FileDescriptorProto, error) {
	byName := make(map[string]*descriptor.FileDescriptorProto)
	for _, f := range req.ProtoFile {
		byName[f.GetName()] = f
	}
	var files []*descriptor.FileDescriptorProto
	for _, name := range req.FileToGenerate {
		f := byName[name]
		if f == nil {
			return nil, fmt.Errorf("%s: the request has no such file", name)
		}
		files = append(files, f)
	}
	return files, nil
}

// knownPlugins are the plugins of this program: the two for services, gogo's own, which are
// always on, and "none". gogo's generator ignores any other.
var knownPlugins = map[string]bool{
	"": true, "none": true, "ttrpc": true, "grpc": true,
	"compare": true, "defaultcheck": true, "description": true, "embedcheck": true, "enumstringer": true,
	"equal": true, "face": true, "gostring": true, "marshalto": true, "oneofcheck": true, "populate": true,
	"size": true, "stringer": true, "union": true, "unmarshal": true,
}

// checkOptions warns of plugins that have no effect, and reports whether the option
// "plugins" is set. An unknown option is an error, since a misspelt option could put the
// file into another directory.
func checkOptions(parameter string, warn func(string, ...any)) (plugins bool, err error) {
	for _, option := range strings.Split(parameter, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "", "client", "import_prefix", "import_path", "paths", "annotate_code":
		case "plugins":
			plugins = true
			for _, plugin := range strings.Split(value, "+") {
				if !knownPlugins[plugin] {
					warn("unknown plugin %q ignored", plugin)
				}
			}
		default:
			if name[0] != 'M' {
				return false, fmt.Errorf("unknown option %q; see protoc-gen-gogottrpc -help", name)
			}
		}
	}
	return plugins, nil
}

// supported returns an error for features of proto files that are newer than gogo's last
// release, because gogo's generator misreads them.
func supported(f *descriptor.FileDescriptorProto) error {
	switch syntax := f.GetSyntax(); syntax {
	case "", "proto2", "proto3":
	default:
		return fmt.Errorf("gogo/protobuf knows proto2 and proto3, not %s", syntax)
	}
	return optionalFields(f.MessageType, "")
}

// optionalFields returns an error for the first proto3 field that is marked optional.
func optionalFields(messages []*descriptor.DescriptorProto, scope string) error {
	for _, m := range messages {
		name := scope + m.GetName()
		for _, field := range m.Field {
			if isProto3Optional(field) {
				return fmt.Errorf("field %s.%s: gogo/protobuf has no optional fields in proto3", name, field.GetName())
			}
		}
		if err := optionalFields(m.NestedType, name+"."); err != nil {
			return err
		}
	}
	return nil
}

// isProto3Optional reports whether FieldDescriptorProto.proto3_optional is set. gogo's
// descriptor does not know that field and keeps it with the unrecognized fields.
func isProto3Optional(field *descriptor.FieldDescriptorProto) bool {
	const proto3Optional = 17
	b := field.XXX_unrecognized
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		if num == proto3Optional && typ == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(b[n:])
			return protowire.DecodeBool(v)
		}
		value := protowire.ConsumeFieldValue(num, typ, b[n:])
		if value < 0 {
			return false
		}
		b = b[n+value:]
	}
	return false
}
