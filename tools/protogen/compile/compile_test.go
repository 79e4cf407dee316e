package compile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("a.proto", `syntax = "proto3";
package a;
import "example.com/x/b.proto";
import "google/protobuf/empty.proto";
import "google/rpc/status.proto";
// Service comment.
service S {
  rpc M(b.M) returns (google.protobuf.Empty);
  rpc N(google.rpc.Status) returns (b.M);
}
`)
	write("b.proto", "syntax = \"proto3\";\npackage b;\nmessage M {}\n")
	write("broken.proto", "syntax = \"proto3\";\nmessage {}\n")
	write("dangling.proto", "syntax = \"proto3\";\nimport \"missing.proto\";\n")
	roots := []Root{{Prefix: "example.com/x/", Dir: dir}}

	req, err := Request(roots, []string{"example.com/x/a.proto"}, "option=value")
	if err != nil {
		t.Fatal(err)
	}
	// A file comes after everything that it imports.
	position := make(map[string]int)
	for i, f := range req.ProtoFile {
		position[f.GetName()] = i + 1
	}
	last := position["example.com/x/a.proto"]
	for _, dep := range []string{"example.com/x/b.proto", "google/protobuf/empty.proto", "google/rpc/status.proto", "google/protobuf/any.proto"} {
		if position[dep] == 0 || position[dep] >= last {
			t.Errorf("%s is at position %d of the request, the file that imports it at %d", dep, position[dep], last)
		}
	}
	if got := req.FileToGenerate; len(got) != 1 || got[0] != "example.com/x/a.proto" || req.GetParameter() != "option=value" {
		t.Errorf("the request is for %v with %q", got, req.GetParameter())
	}
	comment := false
	for _, l := range req.ProtoFile[last-1].GetSourceCodeInfo().GetLocation() {
		comment = comment || l.GetLeadingComments() == " Service comment.\n"
	}
	if !comment {
		t.Error("the request lacks the comments")
	}

	for name, want := range map[string]string{
		"broken.proto":   "broken.proto:2:9: syntax error",
		"dangling.proto": "missing.proto",
		"missing.proto":  "missing.proto",
	} {
		if _, err := Request(roots, []string{"example.com/x/" + name}, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, want)
		}
	}
}
