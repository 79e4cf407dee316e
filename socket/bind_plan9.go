package socket

import (
	"errors"
	"net"
)

// bind fails: there are no unix sockets.
func (c *config) bind(string) (*net.UnixListener, error) { return nil, errors.ErrUnsupported }
