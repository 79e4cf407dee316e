//go:build unix

package takeover

import (
	"io/fs"
	"net"
	"syscall"
)

func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

// keepFile leaves the file of a listener's socket when the listener ends.
func keepFile(l *net.UnixListener) { l.SetUnlinkOnClose(false) }
