package main

import (
	"fmt"
	"slices"
	"strings"
)

// The builds of containerd that can be daemon or shim. ours and stock are those of
// containerd 1.7; those of the other releases have the release's suffix.
const (
	ours   = "ours"   // a pinned containerd, built with this checkout
	stock  = "stock"  // a pinned containerd, as released
	debian = "debian" // Debian's package
)

func variants() []string {
	var names []string
	for _, b := range consumerBuilds() {
		names = append(names, b.variant)
	}
	return append(names, debian)
}

// defaultPairings: both sides ours; each side ours alone, against either
// generation of the released library; the control; and for each of the other
// releases both sides ours, and each alone.
const defaultPairings = "ours+ours ours+stock stock+ours ours+debian debian+ours debian+debian " +
	"ours-1.6+ours-1.6 ours-1.6+stock-1.6 stock-1.6+ours-1.6 " +
	"ours-2.4+ours-2.4 ours-2.4+stock-2.4 stock-2.4+ours-2.4"

// pairing says which build is the daemon (and its ctr) and which the shim.
type pairing struct {
	Daemon, Shim string
}

func (p pairing) String() string { return p.Daemon + "+" + p.Shim }

// parsePairings reads a list separated by spaces or commas.
func parsePairings(s string) ([]pairing, error) {
	var ps []pairing
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' }) {
		daemon, shim, ok := strings.Cut(word, "+")
		if !ok || !slices.Contains(variants(), daemon) || !slices.Contains(variants(), shim) {
			return nil, fmt.Errorf("pairing %q: want daemon+shim, each one of %s",
				word, strings.Join(variants(), ", "))
		}
		ps = append(ps, pairing{daemon, shim})
	}
	if len(ps) == 0 {
		return nil, fmt.Errorf("no pairing in %q", s)
	}
	return ps, nil
}
