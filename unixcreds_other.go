//go:build !linux

package ttrpc

import "fmt"

// describePeer is for the log.
func describePeer(peer any) string { return fmt.Sprint(peer) }
