package main

import (
	"fmt"
	"os"
)

// windows is this checkout's peer for Windows, if wine is set.
var windows = &build{name: "ours-windows", streams: true}

// withWindows pairs the peer for Windows with each release, and with this checkout's.
func (o options) withWindows() []*pairing {
	windows.wine = o.windows
	others := []*build{ours[len(ours)-1]}
	for _, release := range releases {
		if matches(o.versions, release.name) {
			others = append(others, release)
		}
	}
	var pairings []*pairing
	for _, other := range others {
		pairings = append(pairings, &pairing{client: windows, server: other}, &pairing{client: other, server: windows})
	}
	return pairings
}

// runUnderWine makes the program a script that runs exe under Wine, in its own place: the
// process of the script is that of exe.
func (b *build) runUnderWine(exe string) error {
	return os.WriteFile(b.program, []byte(fmt.Sprintf("#!/bin/sh\nexec %q %q \"$@\"\n", b.wine, exe)), 0o755)
}
