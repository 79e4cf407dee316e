package main

import "fmt"

// A consumer is a program that uses ttrpc, at one version.
type consumer struct {
	name    string
	module  string
	version string
	tags    string // build tags of all steps
	// changes are the lines of go.mod that "go mod tidy" changes beside the replace
	// line, as diff shows them, because this module requires other versions.
	changes []string
	steps   []step
}

// A step is one run of the go command in the consumer's directory.
type step struct {
	name string
	env  []string
	args []string
	// users appends the packages that have tests and use ttrpc, itself or through
	// others, to args.
	users bool
}

var (
	// Without the flag go vet finds seven possible misuses of unsafe.Pointer in
	// either version of hcsshim, with the released ttrpc as well.
	vetWindows = step{name: "vet, windows", env: []string{"GOOS=windows", "CGO_ENABLED=0"}, args: []string{"vet", "-unsafeptr=false", "./..."}}
	build      = step{name: "build", args: []string{"build", "./..."}}
	testAll    = step{name: "test", args: []string{"test", "-json", "./..."}}
	testUsers  = step{name: "test", args: []string{"test", "-json"}, users: true}
)

var consumers = []consumer{
	{
		name: "nri", module: "github.com/containerd/nri", version: "v0.12.5",
		changes: []string{"- github.com/containerd/log v0.1.0 // indirect"},
		steps:   []step{testAll},
	},
	{
		name: "hcsshim-0.11", module: "github.com/Microsoft/hcsshim", version: "v0.11.7",
		changes: []string{
			"- golang.org/x/sys v0.10.0", "+ golang.org/x/sys v0.18.0",
			// The program replaces gRPC by v1.27.1 all the same.
			"- google.golang.org/grpc v1.50.1", "+ google.golang.org/grpc v1.57.1",
			"- google.golang.org/protobuf v1.29.1 // indirect", "+ google.golang.org/protobuf v1.33.0 // indirect",
		},
		steps: []step{vetWindows},
	},
	{
		name: "hcsshim-0.13", module: "github.com/Microsoft/hcsshim", version: "v0.13.0",
		steps: []step{vetWindows},
	},
	{
		name: "containerd-1.6", module: "github.com/containerd/containerd", version: "v1.6.36",
		tags:    "no_btrfs", // that driver wants the system's headers of btrfs
		changes: []string{"- go 1.19", "+ go 1.21"},
		steps:   []step{build, testUsers},
	},
	{
		name: "containerd-1.7", module: "github.com/containerd/containerd", version: "v1.7.35",
		steps: []step{build, testUsers},
	},
}

func find(name string) (consumer, error) {
	for _, c := range consumers {
		if c.name == name {
			return c, nil
		}
	}
	return consumer{}, fmt.Errorf("no consumer %q", name)
}
