package main

// Import paths of the plugins. They are built in the root module, which pins
// their versions.
const (
	protocGenGo        = "google.golang.org/protobuf/cmd/protoc-gen-go"
	protocGenGoTTRPC   = "github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc"
	protocGenGoGoTTRPC = "github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc"
)

// job is one run of a plugin.
type job struct {
	Plugin    string   // import path of the plugin
	Parameter string   // the plugin's options
	Out       string   // directory that the names of generated files are relative to
	Roots     []root   // directories are relative to the repository
	Files     []string // import paths of the proto files
}

// jobs is everything that is generated and checked in.
func jobs() []job {
	const module = "github.com/containerd/ttrpc"
	// Files keep the long import path under which they have always been
	// registered, so that another program's "request.proto" is a different file.
	repository := []root{{Prefix: module + "/", Dir: "."}}
	return []job{
		{
			Plugin:    protocGenGo,
			Parameter: "module=" + module,
			Out:       ".",
			Roots:     repository,
			Files:     []string{module + "/request.proto"},
		},
		{
			Plugin:    protocGenGo,
			Parameter: "module=" + module,
			Out:       ".",
			Roots:     repository,
			Files:     []string{module + "/example/inventory/inventory.proto"},
		},
		{
			Plugin:    protocGenGoTTRPC,
			Parameter: "module=" + module,
			Out:       ".",
			Roots:     repository,
			Files:     []string{module + "/example/inventory/inventory.proto"},
		},
	}
}
