//go:build !unix && !plan9

package socket

import (
	"errors"
	"fmt"
	"net"
)

// bind makes the socket. Files have neither Unix modes nor Unix owners on this system: the
// directory decides which users may connect.
func (c *config) bind(path string) (*net.UnixListener, error) {
	if c.uid != -1 || c.gid != -1 {
		return nil, fmt.Errorf("owners: %w", errors.ErrUnsupported)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		l.SetUnlinkOnClose(false) // listener.Close checks the file first
	}
	return l, err
}
