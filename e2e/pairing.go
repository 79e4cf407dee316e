package main

import (
	"fmt"
	"slices"
	"strings"
)

// The builds of containerd that can be daemon or shim.
const (
	ours   = "ours"   // the pinned containerd, built with this checkout
	stock  = "stock"  // the pinned containerd, as released
	debian = "debian" // Debian's package
)

var variants = []string{ours, stock, debian}

// defaultPairings: both sides ours; each side ours alone, against either
// generation of the released library; and the control.
const defaultPairings = "ours+ours ours+stock stock+ours ours+debian debian+ours debian+debian"

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
		if !ok || !slices.Contains(variants, daemon) || !slices.Contains(variants, shim) {
			return nil, fmt.Errorf("pairing %q: want daemon+shim, each one of %s",
				word, strings.Join(variants, ", "))
		}
		ps = append(ps, pairing{daemon, shim})
	}
	if len(ps) == 0 {
		return nil, fmt.Errorf("no pairing in %q", s)
	}
	return ps, nil
}
