package ttrpc

import (
	"context"
	"reflect"
	"strings"
	"testing"
)

// A literal may have capitals. The lower case counts first, as in releases.
func TestLiteralMetadata(t *testing.T) {
	md := MD{"Token": {"a"}, "Both": {"no"}, "both": {"yes"}, "KEY": {"first"}, "Key": {"second"}, "None": {}, "": {"empty"}}
	for key, want := range map[string]string{"token": "a", "TOKEN": "a", "Token": "a", "Both": "yes", "key": "first", "none": "", "missing": "", "": "empty"} {
		got, ok := md.Get(key)
		if strings.Join(got, " ") != want || ok != (want != "") {
			t.Errorf("Get(%q): got %q, %v, want %q", key, got, ok, want)
		}
	}
	if got, ok := GetMetadataValue(WithMetadata(context.Background(), md), "token"); got != "a" || !ok {
		t.Errorf("GetMetadataValue: got %q, %v", got, ok)
	}
}

// A key has one spelling after Set and Append. A peer folds keys, and would otherwise get
// the values of all spellings, in random order.
func TestLiteralMetadataChanged(t *testing.T) {
	for name, change := range map[string]struct {
		f    func(MD)
		want MD
	}{
		"Set":    {func(md MD) { md.Set("TOKEN", "new") }, MD{"token": {"new"}, "Other": {"x"}}},
		"remove": {func(md MD) { md.Set("token") }, MD{"Other": {"x"}}},
		"Append": {func(md MD) { md.Append("token", "new") }, MD{"token": {"second", "new"}, "Other": {"x"}}},
	} {
		md := MD{"Token": {"first"}, "TOKEN": {"second"}, "Other": {"x"}}
		change.f(md)
		if !reflect.DeepEqual(md, change.want) {
			t.Errorf("%s: got %v, want %v", name, md, change.want)
		}
	}
}

// A call that a handler makes with its context passes the metadata on, unless WithMetadata
// prevents that.
func TestMetadataPassedOn(t *testing.T) {
	var next *Client
	desc := echoMethods()
	desc.Methods["Token"] = func(ctx context.Context, _ func(any) error) (any, error) {
		token, _ := GetMetadataValue(ctx, "token")
		return &KeyValue{Value: token}, nil
	}
	pass := func(change func(context.Context) context.Context) Method {
		return func(ctx context.Context, _ func(any) error) (any, error) {
			resp := &KeyValue{}
			return resp, next.Call(change(ctx), testService, "Token", &KeyValue{}, resp)
		}
	}
	desc.Methods["On"] = pass(func(ctx context.Context) context.Context { return ctx })
	desc.Methods["Off"] = pass(func(ctx context.Context) context.Context { return WithMetadata(ctx, nil) })
	next, _ = newTestPair(t, desc)
	ctx := WithMetadata(testContext(t), MD{"Token": {"secret"}})
	for method, want := range map[string]string{"On": "secret", "Off": ""} {
		var resp KeyValue
		if err := next.Call(ctx, testService, method, &KeyValue{}, &resp); err != nil || resp.Value != want {
			t.Errorf("%s: got %q, %v, want %q", method, resp.Value, err, want)
		}
	}
}
