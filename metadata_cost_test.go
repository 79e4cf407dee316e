package ttrpc

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// The memory behind the limits of a connection.

// The size that the limit on metadata counts is the cost of the metadata in memory. No kind
// of pairs costs more than a quarter on top, which is the allocator's rounding of long
// strings. (Before Go 1.24, whose maps are smaller, it is a half.)
func TestMetadataCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	slack := int64(4) // the part of the size that may come on top
	for _, old := range []string{"go1.21", "go1.22", "go1.23"} {
		if strings.HasPrefix(runtime.Version(), old) {
			slack = 2
		}
	}
	for _, sort := range []struct {
		key, value int // lengths
		same       bool
	}{
		{key: 5}, {key: 5, value: 1}, {key: 17, value: 17}, {key: 33, value: 33}, {key: 49, value: 49}, {key: 65, value: 65},
		{key: 129, value: 129}, {key: 257, value: 257}, {key: 513, value: 513}, {key: 5, value: 1025}, {key: 5, value: 32769},
		{same: true}, {key: 1, value: 1, same: true}, {key: 1, value: 17, same: true},
	} {
		for _, size := range []int{1 << 18, 700_000, 900_000, 1 << 20} { // a map grows in steps
			req := &Request{}
			for i := 0; i*(sort.key+sort.value+metadataOverhead) < size; i++ {
				key := fmt.Sprintf("%0*x", sort.key, i)
				if sort.same {
					key = strings.Repeat("k", sort.key)
				}
				req.Metadata = append(req.Metadata, &KeyValue{Key: key, Value: strings.Repeat("v", sort.value)})
			}
			frame := mustMarshal(req)
			req = nil
			before := heapInUse()
			var view requestView
			if err := view.parse(frame, 2<<20); err != nil {
				t.Fatal(err)
			}
			heap := heapInUse() - before
			size := int64(view.metadataSize)
			if most := size + size/slack + 16<<10; heap > most {
				t.Errorf("%+v: metadata of a size of %d takes %d bytes of heap", sort, view.metadataSize, heap)
			}
			runtime.KeepAlive(frame)
			runtime.KeepAlive(view)
		}
	}
}
