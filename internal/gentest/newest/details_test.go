package newest

import (
	"testing"

	"github.com/containerd/ttrpc/details"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc/codes"
)

// quota is registered with version 2 of typeurl alone.
type quota struct{ Used, Limit int }

func init() {
	typeurl.Register(&quota{}, "test.ttrpc.example", "QuotaV2")
	details.Register(typeurl.MarshalAny, typeurl.UnmarshalByTypeURL)
}

func TestDetailOfTypeURLv2(t *testing.T) {
	want := quota{Used: 7, Limit: 8}
	err := details.Error(codes.ResourceExhausted, "no room", &want)
	if got, ok := details.Find[*quota](err); !ok || *got != want {
		t.Errorf("got %v from %v", got, err)
	}
	if got := details.Of(err); len(got) != 1 {
		t.Errorf("got %v", got)
	} else if got, ok := got[0].(*quota); !ok || *got != want {
		t.Errorf("got %T %v", got, got)
	}
}
