//go:build !unix && !windows

package takeover

import (
	"io/fs"
	"net"
)

func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

func keepFile(*net.UnixListener) {} // there are none
