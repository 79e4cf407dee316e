package ttrpc

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Types are looked at once. A type may come twice without being recursive, and a recursive
// one is no endless walk.
func TestTypesAreLookedAtOnce(t *testing.T) {
	api := &apipb.Api{} // its options and those of its methods are of one type
	if !suitsVT(api) {
		t.Error("a type with two fields of one type does not suit")
	}
	if isLazy(api) || isLazy(&structpb.Value{}) {
		t.Error("a type is lazy")
	}
	if _, known := vtTypes.Load(reflect.TypeOf(api)); !known {
		t.Error("suitsVT does not keep its result")
	}
	if _, known := lazyTypes.Load(reflect.TypeOf(api)); !known {
		t.Error("isLazy does not keep its result")
	}
}
