package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc/internal/gencmd"
)

// protobufModule is the module whose version limits the editions.
const protobufModule = "google.golang.org/protobuf"

// editionSince has, for each edition, the first version of protobufModule that can read it.
var editionSince = map[descriptorpb.Edition]string{
	descriptorpb.Edition_EDITION_2024: "v1.36.9",
}

// newestEdition returns the newest edition that the protobuf library can read. The stubs do
// not depend on the edition, so there is no other limit. The version of the library is that
// of the project that builds the command, and may be newer than the one in go.mod.
func newestEdition() descriptorpb.Edition {
	newest := descriptorpb.Edition_EDITION_PROTO3
	for e := descriptorpb.Edition_EDITION_2023; ; e++ {
		_, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
			Name:    proto.String("edition.proto"),
			Syntax:  proto.String("editions"),
			Edition: e.Enum(),
		}, nil)
		if err != nil {
			return newest
		}
		newest = e
	}
}

// checkEditions returns an error for the first file of an edition that the protobuf library
// cannot read. The library's own error would be misleading: it complains first about files
// that only such an edition can import.
func checkEditions(files []*descriptorpb.FileDescriptorProto) error {
	newest := newestEdition()
	for _, f := range files {
		if f.GetSyntax() != "editions" || f.GetEdition() <= newest {
			continue
		}
		since := ""
		if v := editionSince[f.GetEdition()]; v != "" {
			since = "; " + v + " does"
		}
		return fmt.Errorf("%s: this program was built with %s %s, which does not know edition %s%s",
			f.GetName(), protobufModule, gencmd.Version(protobufModule), strings.TrimPrefix(f.GetEdition().String(), "EDITION_"), since)
	}
	return nil
}
