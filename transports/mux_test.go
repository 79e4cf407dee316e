package transports

import (
	"io"
	"net"
	"testing"

	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/hashicorp/yamux"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/suite"
)

// trunk returns the ends of a TCP connection, which are closed when the test ends.
func trunk(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// TestNRI runs the cases over the multiplexer of NRI, while each end of the trunk is a
// client on one connection and a server on the other, as the runtime and a plugin are.
func TestNRI(t *testing.T) {
	suite.Run(t, func(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
		nearTrunk, farTrunk := trunk(t)
		near, far := multiplex.Multiplex(nearTrunk), multiplex.Multiplex(farTrunk)
		t.Cleanup(func() {
			near.Close()
			far.Close()
		})
		open := func(m multiplex.Mux, id multiplex.ConnID) net.Conn {
			nc, err := m.Open(id)
			if err != nil {
				t.Fatal(err)
			}
			return nc
		}
		const there, back = multiplex.LowestConnID, multiplex.LowestConnID + 1
		// Each end is there before anything is sent to it: NRI drops a message of a
		// connection that is not open.
		client, server := open(near, there), open(far, there)
		otherClient, otherServer := open(far, back), open(near, back)
		c := suite.Pair(t, s, client, server)
		suite.Load(t, suite.Pair(t, suite.NewServer(t), otherClient, otherServer))
		return c
	}, nil)
}

// TestYamux runs the cases over a stream of yamux, while another stream of the session,
// opened by the other end, is under load.
func TestYamux(t *testing.T) {
	suite.Run(t, func(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
		nearTrunk, farTrunk := trunk(t)
		config := yamux.DefaultConfig()
		config.LogOutput = io.Discard // the ends close one after the other
		near, err := yamux.Client(nearTrunk, config)
		if err != nil {
			t.Fatal(err)
		}
		far, err := yamux.Server(farTrunk, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			near.Close()
			far.Close()
		})
		open := func(from, to *yamux.Session) (client, server net.Conn) {
			client, err := from.Open()
			if err != nil {
				t.Fatal(err)
			}
			if server, err = to.Accept(); err != nil {
				t.Fatal(err)
			}
			return client, server
		}
		client, server := open(near, far)
		otherClient, otherServer := open(far, near)
		c := suite.Pair(t, s, client, server)
		suite.Load(t, suite.Pair(t, suite.NewServer(t), otherClient, otherServer))
		return c
	}, nil)
}
