//go:build !plan9

package ttrpc

// The part of the kit that TestSuite needs. That test is outside the package, because the
// cases are in a package that imports this one.
var (
	ListenLocal        = listen
	DialLocal          = dialLocal
	TCPPair            = tcpPair
	MuxConns           = muxConns
	NewTestCertificate = newTestCertificate
	WaitNoStreams      = waitNoStreams
)
