package ttrpc

import (
	"errors"
	"fmt"
	"strings"
)

// This file recognizes a peer that speaks another protocol by the first bytes that it
// sends. Without it the log and the callers are told about the first byte of a header.

// foreignProtocols are those that a socket most likely leads to by mistake. None of
// their beginnings is that of a frame.
var foreignProtocols = []struct{ beginning, name string }{
	{"\x16\x03", "TLS"}, // a handshake
	{"\x15\x03", "TLS"}, // an alert: what a server says to a frame of ours
	{"PRI ", "HTTP/2 (gRPC?)"},
	{"HTTP", "HTTP"},
	{"GET ", "HTTP"}, {"HEAD ", "HTTP"}, {"POST ", "HTTP"}, {"PUT ", "HTTP"}, {"PATCH ", "HTTP"},
	{"DELETE ", "HTTP"}, {"OPTIONS ", "HTTP"}, {"CONNECT ", "HTTP"}, {"TRACE ", "HTTP"},
}

// settingsHeader is the length of the header of a frame in HTTP/2.
const settingsHeader = 9

// foreignProtocol returns the protocol that the first bytes of a connection are of, or
// "" if that is ttrpc or not known. fromServer says that a server has sent them.
func foreignProtocol(b []byte, fromServer bool) string {
	for _, p := range foreignProtocols {
		if strings.HasPrefix(string(b), p.beginning) {
			return p.name
		}
	}
	// A server of HTTP/2 begins with SETTINGS, of six bytes each, on stream 0. As a
	// frame of ttrpc that is one of type 0 on stream 0, which no server sends.
	if fromServer && len(b) >= settingsHeader && b[0] == 0 && b[1] == 0 && b[2]%6 == 0 && string(b[3:settingsHeader]) == "\x04\x00\x00\x00\x00\x00" {
		return "HTTP/2 (gRPC?)"
	}
	return ""
}

// foreignError ends a connection whose peer has never spoken ttrpc.
type foreignError struct{ protocolError }

func errForeign(format string, args ...any) error {
	return &foreignError{protocolError{text: fmt.Sprintf(format, args...)}}
}

// refusal returns the error of a call that comes after the end of its connection. That
// is err, which the call got, unless the peer has never spoken ttrpc: to try again is of
// no use then.
func (cn *conn) refusal(err error) error {
	if err != ErrClosed {
		return err
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	var foreign *foreignError
	if errors.As(cn.err, &foreign) {
		return &connError{cause: foreign}
	}
	return err
}
