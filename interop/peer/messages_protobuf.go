//go:build !gogo

package main

import (
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The messages of the peers, in protobuf-go's generation: the only kind that
// v1.2 takes. They are the same messages on the wire as in messages_gogo.go,
// with the same exported fields.
type (
	anyMsg    = anypb.Any
	bytesMsg  = wrapperspb.BytesValue
	emptyMsg  = emptypb.Empty
	stringMsg = wrapperspb.StringValue
)
