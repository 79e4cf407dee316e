package transports

import (
	"net"
	"testing"

	"github.com/mdlayher/vsock"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/suite"
)

// TestVsock runs the cases over vsock, where the kernel has its loopback device.
func TestVsock(t *testing.T) {
	l, err := vsock.ListenContextID(vsock.Local, 0, nil)
	if err != nil {
		t.Skipf("vsock has no loopback here, for which Linux has the module vsock_loopback: %v", err)
	}
	l.Close()
	suite.Run(t, func(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
		l, err := vsock.ListenContextID(vsock.Local, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*vsock.Addr).Port
		return suite.Listen(t, s, l, func() (net.Conn, error) { return vsock.Dial(vsock.Local, port, nil) })
	}, nil)
}
