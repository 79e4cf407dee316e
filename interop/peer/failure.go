package main

import (
	"encoding/json"
	"fmt"
	"reflect"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failure is the status that a client asks the server to end a call with.
type failure struct {
	Code    codes.Code
	Message string
	Details []string
}

// detailURL is the type of the details; their values are the strings.
const detailURL = "type.example/ttrpc.interop.Detail"

func (f failure) encode() *bytesMsg {
	b, err := json.Marshal(struct {
		Code    uint32 // codes.Code would be read from JSON, not written to it
		Message string
		Details []string
	}{uint32(f.Code), f.Message, f.Details})
	if err != nil {
		panic(err)
	}
	return &bytesMsg{Value: b}
}

func decodeFailure(b []byte) error {
	var f failure
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	st := &spb.Status{Code: int32(f.Code), Message: f.Message}
	for _, detail := range f.Details {
		st.Details = append(st.Details, &anyMsg{TypeUrl: detailURL, Value: []byte(detail)})
	}
	return status.ErrorProto(st)
}

// check tells how err differs from the expected failure.
func (f failure) check(err error) error {
	if err == nil {
		return fmt.Errorf("got no error, want %v", f)
	}
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("got %T: %v, which is no status", err, err)
	}
	got := failure{Code: st.Code(), Message: st.Message()}
	for _, detail := range st.Proto().Details {
		if detail.TypeUrl != detailURL {
			return fmt.Errorf("got a detail of type %q, want %q", detail.TypeUrl, detailURL)
		}
		got.Details = append(got.Details, string(detail.Value))
	}
	if !reflect.DeepEqual(got, f) {
		return fmt.Errorf("got status %q, want %q", got, f)
	}
	return nil
}
