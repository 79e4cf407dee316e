package identify

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"strings"

	"golang.org/x/sys/unix"
)

// Peer describes the process that listens, by SO_PEERCRED, or returns why it is not known.
func Peer(conn net.Conn) (*Process, string) {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, "only unix sockets tell"
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return nil, err.Error()
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err.Error()
	}
	if credErr != nil {
		return nil, credErr.Error()
	}
	p := &Process{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.PID)); err == nil {
		p.Command = strings.TrimSpace(string(comm))
	}
	if u, err := user.LookupId(fmt.Sprint(p.UID)); err == nil {
		p.User = u.Username
	}
	return p, ""
}
