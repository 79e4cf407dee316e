package main

import (
	"fmt"
	"os/exec"
	"path"
	"strings"

	"github.com/containerd/ttrpc/tools/protogen/compile"
)

// job is one run of a plugin.
type job struct {
	Plugin    string         // import path of the plugin's main package
	Module    string         // directory of the module that pins the plugin's version; "" is the root module
	Parameter string         // the plugin's options
	Out       string         // directory that the names of generated files are relative to
	Roots     []compile.Root // where the proto files are
	Files     []string       // import paths of the proto files
}

// Import paths of the plugins.
const (
	module = "github.com/containerd/ttrpc"

	protocGenGo        = "google.golang.org/protobuf/cmd/protoc-gen-go"
	protocGenGoTTRPC   = module + "/cmd/protoc-gen-go-ttrpc"
	protocGenGogoTTRPC = module + "/cmd/protoc-gen-gogottrpc"
)

// jobs is everything that is generated and checked in.
func jobs() ([]job, error) {
	golden, err := goldenJobs()
	if err != nil {
		return nil, err
	}
	// These files keep the long import path under which they have always been
	// registered, so that another program's "request.proto" is a different file.
	roots := []compile.Root{{Prefix: module + "/", Dir: "."}}
	const hello, inventory = module + "/example/hello/hello.proto", module + "/example/inventory/inventory.proto"
	return append([]job{
		{Plugin: protocGenGo, Parameter: "module=" + module, Out: ".", Roots: roots, Files: []string{module + "/request.proto", hello, inventory}},
		{Plugin: protocGenGoTTRPC, Parameter: "module=" + module, Out: ".", Roots: roots, Files: []string{hello}},
		{Plugin: protocGenGoTTRPC, Parameter: "client=interface,module=" + module, Out: ".", Roots: roots, Files: []string{inventory}},
	}, golden...), nil
}

// goldenJobs generates the packages that the tests of the generators compile
// and run: from one set of proto files with both generators.
func goldenJobs() ([]job, error) {
	const gentest = "internal/gentest"
	gogo, err := moduleDir("github.com/gogo/protobuf")
	if err != nil {
		return nil, err
	}
	roots := []compile.Root{{Dir: gentest + "/proto"}, {Dir: gogo}}

	both := []string{
		"basic/basic.proto",
		"nopackage/nopackage.proto",
		"names/names.proto", "names/same.proto",
		"imports/one/types/types.proto", "imports/two/types/types.proto",
		"imports/context/context.proto", "imports/ttrpc/ttrpc.proto",
		"imports/req/req.proto", "imports/client/client.proto", "imports/stream/stream.proto",
		"imports/io/io.proto",
		"imports/imports.proto",
		"keyword/keyword.proto",
		"wellknown/wellknown.proto",
		"split/messages.proto", "split/service.proto",
		"legacy/legacy.proto",
		"public/deeper/deeper.proto", "public/inner/inner.proto", "public/other/other.proto",
		"public/public.proto", "public/same.proto",
	}
	onlyGo := append(both[:len(both):len(both)], "optional/optional.proto")
	onlyGogo := append(both[:len(both):len(both)], "gogoopts/gogoopts.proto")

	parameter := "module=" + module
	list := []job{
		{Plugin: protocGenGo, Parameter: parameter, Out: ".", Roots: roots, Files: onlyGo},
		{Plugin: protocGenGoTTRPC, Parameter: parameter, Out: ".", Roots: roots, Files: onlyGo},
	}
	list = append(list, gogoJobs(gentest+"/testdata/gogo", roots, onlyGogo)...)
	return append(list, nestedJobs(gentest, roots)...), nil
}

// nestedJobs generates the code that the nested modules below gentest test: it runs on
// released versions of ttrpc, or needs a newer protobuf than the root module's.
func nestedJobs(gentest string, roots []compile.Root) []job {
	const unary = "unary/unary.proto"
	list := gogoJobs(gentest+"/released102", roots, []string{unary})

	released := gentest + "/released1210"
	parameter := fmt.Sprintf("paths=source_relative,M%s=%s", unary, path.Join(module, released, path.Dir(unary)))
	newest := gentest + "/newest"
	return append(list,
		job{Plugin: protocGenGo, Parameter: parameter, Out: released, Roots: roots, Files: []string{unary}},
		job{Plugin: protocGenGoTTRPC, Parameter: parameter, Out: released, Roots: roots, Files: []string{unary}},
		job{Plugin: protocGenGo, Module: newest, Parameter: "module=" + module, Out: ".", Roots: roots, Files: []string{"edition2023/edition2023.proto"}},
		job{Plugin: protocGenGoTTRPC, Module: newest, Parameter: "module=" + module, Out: ".", Roots: roots, Files: []string{"edition2023/edition2023.proto"}},
		job{Plugin: protocGenGo, Module: newest, Parameter: "default_api_level=API_OPAQUE,module=" + module, Out: ".", Roots: roots, Files: []string{"lazy/lazy.proto"}},
	)
}

// gogoJobs generates proto files with gogo, for Go packages in directories of
// their own although go_package names others. gogo's generator takes the files
// of one package at a time.
func gogoJobs(out string, roots []compile.Root, files []string) []job {
	parameter := "plugins=ttrpc,paths=source_relative"
	for _, name := range []string{"any", "duration", "empty", "struct", "timestamp", "wrappers"} {
		parameter += fmt.Sprintf(",Mgoogle/protobuf/%s.proto=github.com/gogo/protobuf/types", name)
	}
	var packages []string
	inPackage := make(map[string][]string)
	for _, f := range files {
		dir := path.Dir(f)
		if inPackage[dir] == nil {
			packages = append(packages, dir)
		}
		inPackage[dir] = append(inPackage[dir], f)
		parameter += fmt.Sprintf(",M%s=%s", f, path.Join(module, out, dir))
	}
	var list []job
	for _, dir := range packages {
		list = append(list, job{Plugin: protocGenGogoTTRPC, Parameter: parameter, Out: out, Roots: roots, Files: inPackage[dir]})
	}
	return list
}

// moduleDir returns the directory of a module that the root module requires.
func moduleDir(modulePath string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", modulePath, err)
	}
	return strings.TrimSpace(string(out)), nil
}
