package ttrpc

import (
	"context"
)

// metadataOverhead is the cost of an entry of metadata besides its bytes, for the limit on
// metadata: a hostile peer may send many empty entries. It covers a place in the map of up
// to 96 bytes, the slice of values, and the rounding up of strings: TestMetadataCost.
const metadataOverhead = 128

// MD is the metadata of a call: values by key. The ASCII letters of keys are
// case-insensitive: the methods, and the package for keys that arrive from a peer, convert
// them to lower case and change no other characters. An MD written as a literal may have
// keys with capitals: Get finds them, and Set and Append replace all spellings of a key by
// one.
//
// An MD is a map: no goroutine may change it while others read it.
type MD map[string][]string

// foldKey returns key with its ASCII letters in lower case. Unicode's lower case would turn
// the Kelvin sign into an ASCII k, which a filter in front of the server would not expect,
// and would make other letters longer.
func foldKey(key string) string {
	for i := 0; i < len(key); i++ {
		if isUpper(key[i]) {
			return foldFrom(key, i)
		}
	}
	return key
}

// foldFrom implements foldKey for a key whose first capital is at index i.
func foldFrom(key string, i int) string {
	folded := []byte(key)
	for ; i < len(folded); i++ {
		if isUpper(folded[i]) {
			folded[i] += 'a' - 'A'
		}
	}
	return string(folded)
}

func isUpper(b byte) bool { return 'A' <= b && b <= 'Z' }

// Get returns the values of key, and false if there are none. The slice belongs to md.
func (md MD) Get(key string) ([]string, bool) {
	key = foldKey(key)
	if values := md[key]; len(values) > 0 {
		return values, true
	}
	// An MD written as a literal may have capitals: the first spelling in order counts.
	found := ""
	for k, values := range md {
		if len(values) > 0 && (found == "" || k < found) && foldKey(k) == key {
			found = k
		}
	}
	if found == "" {
		return nil, false
	}
	return md[found], true
}

// Set replaces the values of key. Without values, Set removes the key. md keeps the slice.
func (md MD) Set(key string, values ...string) {
	key = foldKey(key)
	md.removeOthers(key)
	if len(values) == 0 {
		delete(md, key)
		return
	}
	md[key] = values
}

// removeOthers removes the spellings with capitals of a folded key. The peer folds keys: it
// would get the values of all spellings, in random order.
func (md MD) removeOthers(key string) {
	for k := range md {
		if k != key && foldKey(k) == key {
			delete(md, k)
		}
	}
}

// Append adds values to the values that Get returns for key.
func (md MD) Append(key string, values ...string) {
	if len(values) == 0 {
		return
	}
	key = foldKey(key)
	before, _ := md.Get(key)
	md.removeOthers(key)
	md[key] = append(before, values...)
}

// Clone returns a deep copy of md, nil for nil. (Since v1.2.7.)
func (md MD) Clone() MD {
	if md == nil {
		return nil
	}
	c := make(MD, len(md))
	for key, values := range md {
		c[key] = append([]string(nil), values...)
	}
	return c
}

// pairs returns the wire form of md, nil if md is empty.
func (md MD) pairs() []*KeyValue {
	var kvs []*KeyValue
	for key, values := range md {
		for _, value := range values {
			kvs = append(kvs, &KeyValue{Key: key, Value: value})
		}
	}
	return kvs
}

type metadataKey struct{}

// contextMetadata returns the metadata of ctx without a copy: it must not be changed.
func contextMetadata(ctx context.Context) MD {
	md, _ := ctx.Value(metadataKey{}).(MD)
	return md
}

// GetMetadata returns a copy of the metadata of ctx, and false if there is none. The
// context of a handler carries the metadata of its call; WithMetadata attaches metadata to
// any other context. Calls that share a context may each change their copy.
func GetMetadata(ctx context.Context) (MD, bool) {
	md := contextMetadata(ctx)
	return md.Clone(), md != nil
}

// GetMetadataValue returns the first value of name in the metadata of ctx, and false if
// there is none.
func GetMetadataValue(ctx context.Context, name string) (string, bool) {
	if values, ok := contextMetadata(ctx).Get(name); ok {
		return values[0], true
	}
	return "", false
}

// WithMetadata returns a context with md as its metadata, which is sent with the calls and
// streams that use the context. md replaces any metadata of ctx. The map is not copied: it
// must not change while such a call is being sent.
//
// The context of a handler carries the metadata of the incoming call, and calls made with
// that context pass the metadata on, including any tokens. Calls made with
// WithMetadata(ctx, nil) pass on none.
func WithMetadata(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, metadataKey{}, md)
}
