package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// UnixCredentialsFunc is a Handshaker for unix sockets: it admits a connection
// when it returns nil for the credentials of the peer, which are those of the
// time when it connected (SO_PEERCRED in unix(7)). A connection that is not a
// unix socket, or whose credentials the kernel does not tell, is refused. In a user
// namespace an id may be the overflow id: see UnixSocketRequireUidGid.
// It exists on Linux alone, and so do the functions that return one.
type UnixCredentialsFunc func(*unix.Ucred) error

// Handshake returns conn and the peer's *unix.Ucred, or an error.
func (fn UnixCredentialsFunc) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	ucred, err := peerCredentials(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("ttrpc: unix socket credentials: %w", err)
	}
	if err := fn(ucred); err != nil {
		return nil, nil, fmt.Errorf("ttrpc: peer with %s refused: %w", describePeer(ucred), err)
	}
	return conn, ucred, nil
}

// describePeer is for the log. The text of a handshaker's own type may be of the peer's
// choice.
func describePeer(peer any) string {
	if ucred, ok := peer.(*unix.Ucred); ok && ucred != nil {
		return fmt.Sprintf("pid %d, uid %d, gid %d", ucred.Pid, ucred.Uid, ucred.Gid)
	}
	return quoteName(fmt.Sprint(peer))
}

func peerCredentials(conn net.Conn) (*unix.Ucred, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok || !isUnixConn(conn) {
		return nil, fmt.Errorf("%T is not a unix socket", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var ucred *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		ucred, sockErr = getsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if sockErr != nil {
		return nil, os.NewSyscallError("getsockopt", sockErr)
	}
	if ucred == nil {
		return nil, errors.New("the kernel returned none")
	}
	return ucred, nil
}

// getsockoptUcred is replaced by tests.
var getsockoptUcred = unix.GetsockoptUcred

// isUnixConn looks at the address too: a wrapper may have *net.UnixConn inside.
func isUnixConn(conn net.Conn) bool {
	if _, ok := conn.(*net.UnixConn); ok {
		return true
	}
	addr := conn.LocalAddr()
	return addr != nil && (addr.Network() == "unix" || addr.Network() == "unixpacket")
}

// UnixSocketRequireUidGid admits peers whose effective uid and gid are these; -1
// stands for any.
//
// In a user namespace that does not map all ids the kernel shows those that have no place
// in it as one id, the overflow uid or gid, mostly 65534. That says nothing of a peer, and
// so none with it is admitted there, also when it is the id that is asked for, or that of
// the server itself.
//
//nolint:revive,staticcheck // the name is part of the API
func UnixSocketRequireUidGid(uid, gid int) UnixCredentialsFunc {
	return func(ucred *unix.Ucred) error {
		return requireUidGid(ucred, uid, gid)
	}
}

// UnixSocketRequireRoot admits peers with effective uid and gid 0.
func UnixSocketRequireRoot() UnixCredentialsFunc {
	return UnixSocketRequireUidGid(0, 0)
}

// UnixSocketRequireSameUser admits peers whose effective uid and gid are those
// that this process has now. It suits abstract sockets, which have no file
// permissions. A process whose own ids have no place in its user namespace admits none:
// see UnixSocketRequireUidGid.
func UnixSocketRequireSameUser() UnixCredentialsFunc {
	return UnixSocketRequireUidGid(os.Geteuid(), os.Getegid())
}

func requireUidGid(ucred *unix.Ucred, uid, gid int) error {
	if uid != -1 && uid != int(ucred.Uid) || gid != -1 && gid != int(ucred.Gid) {
		return fmt.Errorf("uid %d and gid %d required: %w", uid, gid, syscall.EPERM)
	}
	if uid != -1 && uid == overflowID("uid") {
		return fmt.Errorf("uid %d stands for all that this user namespace lacks: %w", uid, syscall.EPERM)
	}
	if gid != -1 && gid == overflowID("gid") {
		return fmt.Errorf("gid %d stands for all that this user namespace lacks: %w", gid, syscall.EPERM)
	}
	return nil
}

// overflowID is replaced by tests.
var overflowID = readOverflowID

// readOverflowID returns the uid or gid, as kind says, that the kernel shows in place of
// those without one in this process's user namespace: user_namespaces(7). It returns -1
// when there are none of these, as on the host, where the id is that of the user nobody.
// Both files may change while the process runs.
func readOverflowID(kind string) int {
	const most = "4294967295" // ids there are
	mapped, _ := os.ReadFile("/proc/self/" + kind + "_map")
	if extent := strings.Fields(string(mapped)); len(extent) == 3 && extent[0] == "0" && extent[2] == most {
		return -1
	}
	text, _ := os.ReadFile("/proc/sys/kernel/overflow" + kind)
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 65534 // the kernel's default
	}
	return id
}
