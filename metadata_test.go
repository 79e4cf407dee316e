package ttrpc

import (
	"context"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMD(t *testing.T) {
	md := MD{}
	if v, ok := md.Get("none"); ok || v != nil {
		t.Errorf("Get of nothing: %q, %v", v, ok)
	}
	md.Set("Key", "one")
	md.Append("KEY", "two", "three")
	md.Append("other", "x")
	md.Append("nothing")
	if v, ok := md.Get("kEy"); !ok || !reflect.DeepEqual(v, []string{"one", "two", "three"}) {
		t.Errorf("Get: %q, %v", v, ok)
	}
	if want := (MD{"key": {"one", "two", "three"}, "other": {"x"}}); !reflect.DeepEqual(md, want) {
		t.Errorf("got %v, want %v", md, want)
	}

	c := md.Clone()
	if !reflect.DeepEqual(c, md) {
		t.Errorf("Clone: got %v", c)
	}
	c["key"][0] = "changed"
	c.Append("other", "y")
	c.Set("new", "z")
	if want := (MD{"key": {"one", "two", "three"}, "other": {"x"}}); !reflect.DeepEqual(md, want) {
		t.Errorf("changing the clone changed the original: %v", md)
	}
	if c := MD(nil).Clone(); c != nil {
		t.Errorf("Clone of nil: got %v", c)
	}

	md.Set("KEY", "four")
	if v, _ := md.Get("key"); !reflect.DeepEqual(v, []string{"four"}) {
		t.Errorf("Set did not replace: %q", v)
	}
	md.Set("Key")
	if _, ok := md["key"]; ok {
		t.Error("Set without values did not remove the key")
	}
	if v, ok := MD(nil).Get("key"); ok {
		t.Errorf("Get of a nil MD: %q", v)
	}
}

// Letters beyond ASCII keep their case. Folding would make some of them longer, and would
// turn the Kelvin sign into an ASCII k that a filter does not expect.
func TestMetadataFoldsASCIIAlone(t *testing.T) {
	for key, want := range map[string]string{
		"":                  "",
		"ABCXYZ-abc_@[`{09": "abcxyz-abc_@[`{09",
		"to\u212Aen":        "to\u212Aen", // Kelvin sign
		"\u023A":            "\u023A",     // one byte longer in lower case
		"\u0130D":           "\u0130d",    // two runes in lower case
		"\u00DCber-K":       "\u00DCber-k",
	} {
		md := MD{}
		md.Set(key, "set")
		md.Append(key, "appended")
		if want := (MD{want: {"set", "appended"}}); !reflect.DeepEqual(md, want) {
			t.Errorf("Set, Append: %+q, want %+q", md, want)
		}
		if v, _ := md.Get(key); len(v) != 2 {
			t.Errorf("Get(%+q): %q", key, v)
		}
		if v, _ := GetMetadataValue(WithMetadata(context.Background(), md), key); v != "set" {
			t.Errorf("GetMetadataValue(%+q): %q", key, v)
		}
		if md.Set(key); len(md) != 0 {
			t.Errorf("Set(%+q) without values left %+q", key, md)
		}
		frame := mustMarshal(&Request{Metadata: []*KeyValue{{Key: key, Value: "v"}}})
		var view requestView
		if err := view.parse(frame, defaultMaxMetadata); err != nil || !reflect.DeepEqual(view.metadata, MD{want: {"v"}}) {
			t.Errorf("%+q arrives as %+q, %v, want %+q", key, view.metadata, err, want)
		}
		if allocs := testing.AllocsPerRun(10, func() { MD(nil).Get("lower-case") }); allocs > 0 {
			t.Errorf("Get allocates %v times", allocs)
		}
	}
	if v, ok := (MD{"token": {"secret"}}).Get("to\u212Aen"); ok {
		t.Errorf("a Kelvin sign finds the key with a k: %q", v)
	}
}

func TestMetadataOfContext(t *testing.T) {
	ctx := context.Background()
	if md, ok := GetMetadata(ctx); ok || md != nil {
		t.Errorf("GetMetadata without any: %v, %v", md, ok)
	}
	if v, ok := GetMetadataValue(ctx, "k"); ok || v != "" {
		t.Errorf("GetMetadataValue without any: %q, %v", v, ok)
	}
	ctx = WithMetadata(ctx, MD{"k": {"first", "second"}})
	if v, ok := GetMetadataValue(ctx, "K"); !ok || v != "first" {
		t.Errorf("GetMetadataValue: %q, %v", v, ok)
	}
	if v, ok := GetMetadataValue(ctx, "absent"); ok || v != "" {
		t.Errorf("GetMetadataValue of an absent key: %q, %v", v, ok)
	}
	md, ok := GetMetadata(ctx)
	if !ok || !reflect.DeepEqual(md, MD{"k": {"first", "second"}}) {
		t.Errorf("GetMetadata: %v, %v", md, ok)
	}
	md.Set("k", "changed")
	if v, _ := GetMetadataValue(ctx, "k"); v != "first" {
		t.Errorf("what GetMetadata returned is shared with the context: %q", v)
	}
	ctx = WithMetadata(ctx, MD{"other": {"x"}})
	if _, ok := GetMetadataValue(ctx, "k"); ok {
		t.Error("WithMetadata did not replace what was there")
	}
}

// metadataService answers with the metadata of the call.
func metadataService() *ServiceDesc {
	dump := func(ctx context.Context) (any, error) {
		md, ok := GetMetadata(ctx)
		if !ok {
			return &KeyValue{Key: "none"}, nil
		}
		var lines []string
		for k, values := range md {
			lines = append(lines, k+"="+strings.Join(values, ","))
		}
		sort.Strings(lines)
		return &KeyValue{Value: strings.Join(lines, ";")}, nil
	}
	return &ServiceDesc{
		Methods: map[string]Method{"Dump": func(ctx context.Context, _ func(any) error) (any, error) { return dump(ctx) }},
		Streams: map[string]Stream{"DumpStream": {StreamingClient: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
			return dump(ctx)
		}}},
	}
}

// Metadata is sent with unary calls and with streams; releases omit it with streams (9 of
// the regressions that are open upstream).
func TestMetadataOfCalls(t *testing.T) {
	c, _ := newTestPair(t, metadataService())
	calls := map[string]func(context.Context, *KeyValue) error{
		"Call": func(ctx context.Context, resp *KeyValue) error {
			return c.Call(ctx, testService, "Dump", &KeyValue{}, resp)
		},
		"stream": func(ctx context.Context, resp *KeyValue) error {
			cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "DumpStream", nil)
			if err != nil {
				return err
			}
			return cs.RecvMsg(resp)
		},
	}
	for name, call := range calls {
		for _, test := range []struct {
			md   MD
			want string
		}{
			{MD{"a": {"1"}}, "a=1"},
			{MD{"a": {"1", "2", "1"}, "b": {""}}, "a=1,2,1;b="},
			{MD{"UPPER": {"Value"}}, "upper=Value"}, // put in past Set
			{MD{"ünï": {"çode"}}, "ünï=çode"},
			{MD{"\u212A-\u023A-K": {"v"}}, "\u212A-\u023A-k=v"},
			{MD{"long": {strings.Repeat("v", 100_000)}}, "long=" + strings.Repeat("v", 100_000)},
		} {
			var resp KeyValue
			if err := call(WithMetadata(testContext(t), test.md), &resp); err != nil || resp.Value != test.want {
				t.Errorf("%s: %v arrived as %q, %v", name, test.md, resp.Value, err)
			}
		}
		for _, ctx := range []context.Context{
			testContext(t), WithMetadata(testContext(t), nil), WithMetadata(testContext(t), MD{}), WithMetadata(testContext(t), MD{"empty": nil}),
		} {
			var resp KeyValue
			if err := call(ctx, &resp); err != nil || resp.Key != "none" {
				t.Errorf("%s: without metadata arrived %v, %v", name, &resp, err)
			}
		}
		for _, md := range []MD{{"k": {"\xff"}}, {"\xff": {"v"}}} {
			err := call(WithMetadata(testContext(t), md), &KeyValue{})
			if _, sent := status.FromError(err); sent {
				t.Errorf("%s: metadata that is not UTF-8 was sent: %v", name, err)
			}
		}
		tooMuch := MD{"k": {strings.Repeat("v", defaultMaxMetadata)}}
		if err := call(WithMetadata(testContext(t), tooMuch), &KeyValue{}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: metadata over the limit: got %v", name, err)
		}
	}
}

// A handler's context has the metadata of its call, not that of Serve's context, and passes
// it on.
func TestMetadataInHandler(t *testing.T) {
	_, inner := newTestServer(t, metadataService())
	c := dialTest(t, inner)
	s := newServer(t, nil, usuallyBusy)
	s.Register(testService, map[string]Method{"Relay": func(ctx context.Context, _ func(any) error) (any, error) {
		var resp KeyValue
		return &resp, c.Call(ctx, testService, "Dump", &KeyValue{}, &resp)
	}})
	outer := serveTest(t, s, WithMetadata(context.Background(), MD{"serve": {"x"}}))
	for _, md := range []MD{{"a": {"1", "2"}}, nil} {
		var resp KeyValue
		if err := outer.Call(WithMetadata(testContext(t), md), testService, "Relay", &KeyValue{}, &resp); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "a=1,2", false: ""}[md != nil]; resp.Value != want {
			t.Errorf("relayed %v: got %q, want %q", md, resp.Value, want)
		}
	}
}

// Calls that share a context read its metadata, send it and take copies to change, all at
// the same time (regression 21).
func TestRaceSharedMetadata(t *testing.T) {
	c, _ := newTestPair(t, metadataService())
	ctx := WithMetadata(testContext(t), MD{"a": {"1"}, "b": {"2"}})
	const callers = 8
	var wg sync.WaitGroup
	for i := 0; i < callers; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := rounds(400) / callers; n >= 0; n-- {
				md, _ := GetMetadata(ctx)
				md.Append("a", "more")
				md.Set("c", "3")
				var resp KeyValue
				if err := c.Call(ctx, testService, "Dump", &KeyValue{}, &resp); err != nil || resp.Value != "a=1;b=2" {
					t.Errorf("got %q, %v", resp.Value, err)
					return
				}
				if err := c.Call(WithMetadata(ctx, md), testService, "Dump", &KeyValue{}, &resp); err != nil || resp.Value != "a=1,more;b=2;c=3" {
					t.Errorf("with the copy: got %q, %v", resp.Value, err)
					return
				}
			}
		}()
	}
	wg.Wait()
}
