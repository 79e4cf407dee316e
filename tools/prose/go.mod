// `make prose`: the English of comments and documents.
module github.com/containerd/ttrpc/tools/prose

go 1.24.0
