package ttrpc

import (
	"context"
)

// metadataOverhead is what an entry of metadata costs beside its bytes, for
// the limit on metadata: a hostile peer may send many empty ones. It is a place in
// the map of up to 96 bytes, the slice of values, and what strings are rounded up
// by: TestMetadataCost.
const metadataOverhead = 128

// MD is the metadata of a call: values by key. Keys are case-insensitive in their ASCII
// letters: the methods fold those to lower case and leave all else as it is, and keys
// that arrive from a peer are folded alike. An MD written as a literal may have keys with
// capitals: Get finds them, and Set and Append replace all spellings of a key by one.
//
// An MD is a map: it is not safe for one goroutine to change while others
// read it.
type MD map[string][]string

// foldKey returns key with its ASCII letters in lower case. Unicode's lower case would
// turn the Kelvin sign into an ASCII k, which a filter in front has not seen, and makes
// other letters longer.
func foldKey(key string) string {
	for i := 0; i < len(key); i++ {
		if isUpper(key[i]) {
			return foldFrom(key, i)
		}
	}
	return key
}

// foldFrom is foldKey for a key whose first capital is at index i.
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

// Get returns the values of key and whether there are any.
func (md MD) Get(key string) ([]string, bool) {
	key = foldKey(key)
	if values := md[key]; len(values) > 0 {
		return values, true
	}
	// An MD written as a literal may have capitals: the first of its spellings counts.
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

// Set replaces the values of key. Without values it removes the key.
func (md MD) Set(key string, values ...string) {
	key = foldKey(key)
	md.removeOthers(key)
	if len(values) == 0 {
		delete(md, key)
		return
	}
	md[key] = values
}

// removeOthers removes the spellings of a folded key with capitals. A peer folds keys:
// it would get the values of all of them, in no order.
func (md MD) removeOthers(key string) {
	for k := range md {
		if k != key && foldKey(k) == key {
			delete(md, k)
		}
	}
}

// Append adds values to those of key, as Get finds them.
func (md MD) Append(key string, values ...string) {
	if len(values) == 0 {
		return
	}
	key = foldKey(key)
	before, _ := md.Get(key)
	md.removeOthers(key)
	md[key] = append(before, values...)
}

// Clone returns a deep copy, nil for nil. (Since v1.2.7.)
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

// pairs returns md as it goes over the wire, nil when it is empty.
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

// contextMetadata returns what WithMetadata attached, for reading only.
func contextMetadata(ctx context.Context) MD {
	md, _ := ctx.Value(metadataKey{}).(MD)
	return md
}

// GetMetadata returns the metadata of ctx: in a handler, what came with the
// call; elsewhere, what WithMetadata attached. It is a copy, so that calls
// that share a context may each change theirs.
func GetMetadata(ctx context.Context) (MD, bool) {
	md := contextMetadata(ctx)
	return md.Clone(), md != nil
}

// GetMetadataValue returns the first value of name in the metadata of ctx.
func GetMetadataValue(ctx context.Context, name string) (string, bool) {
	if values, ok := contextMetadata(ctx).Get(name); ok {
		return values[0], true
	}
	return "", false
}

// WithMetadata attaches md to ctx, in place of any that is there, to go with
// the calls and streams that use the context. The map is not copied: it must
// not change while such a call is being sent.
//
// In a handler, ctx carries the metadata of the incoming call, and a call made
// with it passes that on, tokens and all. WithMetadata(ctx, nil) is a context
// whose calls pass on none.
func WithMetadata(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, metadataKey{}, md)
}
