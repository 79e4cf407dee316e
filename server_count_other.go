//go:build !linux

package ttrpc

import "net"

// socketUID is for Linux alone.
func socketUID(net.Conn) connUID { return connUID{} }

// uidOfPeer is for Linux alone.
func uidOfPeer(any) connUID { return connUID{} }
