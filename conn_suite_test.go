//go:build !plan9

package ttrpc_test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/suite"
)

// TestSuite runs the cases of internal/suite over each kind of connection that needs no
// other module; those that do are in transports.
func TestSuite(t *testing.T) {
	for _, transport := range []struct {
		name    string
		connect suite.Connect
	}{
		{"unix", suiteUnix},
		{"tcp", suiteTCP},
		{"tls", suiteTLS},
		{"pipe", suitePipe},
		{"mux", suiteMux},
	} {
		transport := transport
		t.Run(transport.name, func(t *testing.T) {
			suite.Run(t, transport.connect, ttrpc.WaitNoStreams)
		})
	}
}

func suiteUnix(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
	l := ttrpc.ListenLocal(t)
	return suite.Listen(t, s, l, func() (net.Conn, error) { return ttrpc.DialLocal(l.Addr().String()) })
}

func suiteTCP(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
	client, server := ttrpc.TCPPair(t)
	return suite.Pair(t, s, client, server)
}

func suiteTLS(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
	client, server := ttrpc.TCPPair(t)
	config := &tls.Config{Certificates: []tls.Certificate{ttrpc.NewTestCertificate(t)}}
	return suite.Pair(t, s, tls.Client(client, &tls.Config{InsecureSkipVerify: true}), tls.Server(server, config))
}

func suitePipe(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
	client, server := net.Pipe()
	return suite.Pair(t, s, client, server)
}

// suiteMux has the other end of the trunk call, too: each end is a client on one
// connection and a server on the other, as with NRI.
func suiteMux(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
	there, back := ttrpc.MuxConns(t)
	c := suite.Pair(t, s, there[0], there[1])
	suite.Load(t, suite.Pair(t, suite.NewServer(t), back[0], back[1]))
	return c
}
