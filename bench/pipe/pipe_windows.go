package pipe

import (
	"net"
	"strings"

	"github.com/Microsoft/go-winio"
	"github.com/containerd/ttrpc/bench/workload"
)

func init() { workload.ProvidePipe(listen, dial) }

func listen(addr string) (net.Listener, error) { return winio.ListenPipe(name(addr), nil) }

func dial(addr string) (net.Conn, error) { return winio.DialPipe(name(addr), nil) }

// name makes a pipe's name of a path, which is as unique.
func name(addr string) string {
	return `\\.\pipe\` + strings.NewReplacer(`\`, "-", "/", "-", ":", "").Replace(addr)
}
