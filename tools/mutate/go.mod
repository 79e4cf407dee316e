// `make mutate`: mutants of the root package that no test notices.
module github.com/containerd/ttrpc/tools/mutate

go 1.24.0
