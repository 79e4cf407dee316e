//go:build !plan9

package ttrpc

// TestSuite needs this part of the kit. It is outside the package, because its cases are in a
// package that imports this one.
var (
	ListenLocal        = listen
	DialLocal          = dialLocal
	TCPPair            = tcpPair
	MuxConns           = muxConns
	NewTestCertificate = newTestCertificate
	WaitNoStreams      = waitNoStreams
)
