package ttrpc

import "google.golang.org/protobuf/reflect/protoreflect"

// File_request_proto is the descriptor of request.proto, by its name in v1.2.9
// and later; v1.2.0 to v1.2.8 call it File_github_com_containerd_ttrpc_request_proto.
//
//nolint:revive,staticcheck // the name is part of the API
var File_request_proto protoreflect.FileDescriptor

func init() {
	// It may not have run: init functions go by the names of files.
	file_github_com_containerd_ttrpc_request_proto_init()
	File_request_proto = File_github_com_containerd_ttrpc_request_proto
}
