// Package nesting refuses messages whose levels would exhaust the stack of their
// decoder.
//
// The Unmarshal methods of gogo/protobuf call each other once for each level, its
// decoder of struct tags calls itself, and so did that of golang/protobuf before 1.4;
// none of them counts. A stack that overflows ends the process, and a frame has room
// for two million levels. protobuf-go stops at the level that this package stops at.
package nesting

import "errors"

// MaxDepth is how many levels of messages a message may have, itself included:
// protobuf-go's default.
const MaxDepth = 10000

// errTooDeep is the error of Check.
var errTooDeep = errors.New("nested deeper than 10000 levels")

// Check returns an error if decoding b into m, a pointer to a message, would go
// deeper than MaxDepth. It returns nil for a message that protobuf-go decodes, as it
// counts for itself, and for bytes that no decoder takes to that depth because they
// are malformed before it.
//
// A message of up to MaxDepth bytes has no more levels than that, and costs nothing.
// Of a longer one Check reads the tags of those parts alone that have enough bytes.
func Check(m any, b []byte) error {
	if len(b) <= MaxDepth {
		return nil
	}
	if p := planOf(m); p != nil && !p.fits(b, 1) {
		return errTooDeep
	}
	return nil
}

// fits reports whether the message b, which p describes and which is at level depth,
// keeps within MaxDepth.
func (p *plan) fits(b []byte, depth int) bool {
	_, ok := p.walk(b, depth, false)
	return ok
}

// walk goes through the fields of a message, up to the end of b or, for a group, up
// to the tag that ends it, and returns the bytes that follow. It has not ok if they
// go too deep. The rest is nil after malformed bytes, where decoders give up.
func (p *plan) walk(b []byte, depth int, group bool) (rest []byte, ok bool) {
	if depth > MaxDepth {
		return nil, false
	}
	for {
		if depth+1+maxShort <= MaxDepth {
			b = skipShort(b)
		}
		f, n := consume(b)
		if n == 0 {
			return nil, true // the end, or malformed
		}
		b = b[n:]
		ok = true
		switch {
		case f.wire == lengthDelimited:
			// A level takes a byte at least: short content needs no look.
			if depth+1+len(f.content) > MaxDepth {
				ok = p.contentFits(f, depth)
			}
		case f.wire == startGroup && p.groups:
			if g := p.fields[f.num]; g != nil && g.groups {
				b, ok = g.walk(b, depth+1, true)
			} else {
				b, ok = skipGroup(b)
			}
		case f.wire == endGroup && p.groups:
			if group {
				return b, true
			}
			return nil, true // nobody's group
		}
		if !ok {
			return nil, false
		}
	}
}

// maxShort is the length of the longest content that skipShort skips.
const maxShort = 0x7f

// skipShort skips the fields that b begins with as long as tag and length, or tag and
// number, are one byte each. Messages of many small fields consist of these.
func skipShort(b []byte) []byte {
	i := 0
	for i+1 < len(b) && b[i] < 0x80 && b[i+1] < 0x80 {
		switch b[i] & 7 {
		case 0:
			i += 2
		case lengthDelimited:
			i += 2 + int(b[i+1])
		default:
			return b[i:]
		}
	}
	if i > len(b) {
		return nil // malformed
	}
	return b[i:]
}

// contentFits is fits for the content of a field of a message at level depth.
func (p *plan) contentFits(f field, depth int) bool {
	child := p.child(f.num)
	if child == nil {
		return true
	}
	if !child.entry {
		depth++
	}
	return child.fits(f.content, depth)
}

// skipGroup goes to the end of a group that the message does not know. Code that gogo
// generated before its 1.3 does so recursively, in messages of any type. Like
// protobuf-go, skipGroup counts its levels apart from those of messages.
func skipGroup(b []byte) (rest []byte, ok bool) {
	for depth := 0; len(b) > 0; {
		f, n := consume(b)
		if n == 0 {
			return nil, true
		}
		b = b[n:]
		switch {
		case f.wire == startGroup && depth == MaxDepth:
			return nil, false
		case f.wire == startGroup:
			depth++
		case f.wire == endGroup && depth == 0:
			return b, true
		case f.wire == endGroup:
			depth--
		}
	}
	return nil, true
}

// The wire types that matter here.
const (
	lengthDelimited = 2
	startGroup      = 3
	endGroup        = 4
)

type field struct {
	num     int32
	wire    int
	content []byte // of a length-delimited field
}

// consume takes a field off b, or the tag of a group, and returns its length, or 0 for
// malformed bytes. It accepts all that some decoder accepts: gogo's methods drop the
// bits of a field number and of a length that they have no room for, which
// package protowire refuses.
func consume(b []byte) (f field, n int) {
	tag, n := varint(b)
	if n == 0 {
		return f, 0
	}
	f.num, f.wire = int32(tag>>3), int(tag&7)
	size := 0
	switch f.wire {
	case 0:
		if _, size = varint(b[n:]); size == 0 {
			return f, 0
		}
	case 1:
		size = 8
	case lengthDelimited:
		length, prefix := varint(b[n:])
		size = int(length)
		if n += prefix; prefix == 0 || size < 0 || size > len(b)-n {
			return f, 0
		}
		f.content = b[n : n+size]
	case startGroup, endGroup:
	case 5:
		size = 4
	default:
		return f, 0
	}
	if size > len(b)-n {
		return f, 0
	}
	return f, n + size
}

// varint returns the number that b begins with, and its length, or 0 for none.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i := 0; i < len(b) && i < 10; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
