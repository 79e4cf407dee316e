package transports

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/suite"
)

// pipes numbers the named pipes of this process.
var pipes atomic.Int64

// TestNamedPipe runs the cases over named pipes, as hcsshim and containerd use them: of
// bytes, and of messages, which can be half-closed.
func TestNamedPipe(t *testing.T) {
	for name, config := range map[string]*winio.PipeConfig{
		"bytes":    {},
		"messages": {MessageMode: true},
	} {
		t.Run(name, func(t *testing.T) {
			suite.Run(t, func(t *testing.T, s *ttrpc.Server) *ttrpc.Client {
				path := fmt.Sprintf(`\\.\pipe\ttrpc-%d-%d`, os.Getpid(), pipes.Add(1))
				l, err := winio.ListenPipe(path, config)
				if err != nil {
					t.Fatal(err)
				}
				limit := 10 * time.Second
				if wine() {
					occupyFirst(t, path, limit)
				}
				return suite.Listen(t, s, l, func() (net.Conn, error) { return winio.DialPipe(path, &limit) })
			}, nil)
		})
	}
}

// wine reports whether the system is Wine.
func wine() bool {
	return syscall.NewLazyDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// occupyFirst connects to the first instance of a pipe, until the end of the test. The
// listener creates that one for the name alone, without the access to read or write, with
// which Windows lets no client connect to it; Wine does, to an end that nobody serves.
func occupyFirst(t *testing.T, path string, limit time.Duration) {
	nc, err := winio.DialPipe(path, &limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
}
