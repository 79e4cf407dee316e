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

// UnixCredentialsFunc is a Handshaker for Unix sockets. It gets the credentials that the
// peer had when it connected (SO_PEERCRED in unix(7)), and admits the connection by
// returning nil. A connection that is not a Unix socket, or whose credentials the kernel
// does not know, is refused. In a user namespace an id may be the overflow id: see
// UnixSocketRequireUidGid. The type and the functions that return it exist only on Linux.
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

// describePeer describes a handshaker's result for the log. The peer may have chosen the
// text of a result that is not a *unix.Ucred, so that text is quoted.
func describePeer(peer any) string {
	if ucred, ok := peer.(*unix.Ucred); ok && ucred != nil {
		return fmt.Sprintf("pid %d, uid %d, gid %d", ucred.Pid, ucred.Uid, ucred.Gid)
	}
	return quoteName(fmt.Sprint(peer))
}

// peerCredentials returns the credentials of the peer of a Unix socket.
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

// Only tests replace getsockoptUcred.
var getsockoptUcred = unix.GetsockoptUcred

// isUnixConn reports whether conn is a Unix socket. It also goes by the address: a wrapper
// may have a *net.UnixConn inside.
func isUnixConn(conn net.Conn) bool {
	if _, ok := conn.(*net.UnixConn); ok {
		return true
	}
	addr := conn.LocalAddr()
	return addr != nil && (addr.Network() == "unix" || addr.Network() == "unixpacket")
}

// UnixSocketRequireUidGid admits peers with this effective uid and gid; -1 stands for any.
//
// In a user namespace that does not map all ids, the kernel shows every unmapped id as the
// overflow uid or gid, usually 65534. Such an id identifies nobody: if uid or gid is the
// overflow id of such a namespace, no peer is admitted, even if the server has the same id.
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

// UnixSocketRequireSameUser admits peers with the effective uid and gid that this process
// has at the time of the call. It suits abstract sockets, which have no file permissions.
// A process whose own ids its user namespace does not map admits no peer: see
// UnixSocketRequireUidGid.
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

// Only tests replace overflowID.
var overflowID = readOverflowID

// readOverflowID returns the overflow id of the kind "uid" or "gid": the kernel shows it in
// place of ids that this process's user namespace does not map (user_namespaces(7)). It
// returns -1 if the namespace maps all ids, as on the host, where the same number is the id
// of the user nobody. Both files may change while the process runs.
func readOverflowID(kind string) int {
	const most = "4294967295" // the number of ids
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
