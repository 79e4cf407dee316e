package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// credentialsService answers with the peer's pid.
func credentialsService() *ServiceDesc {
	return &ServiceDesc{Methods: map[string]Method{"Peer": func(ctx context.Context, _ func(any) error) (any, error) {
		peer, _ := PeerFromContext(ctx)
		ucred, ok := peer.(*unix.Ucred)
		if !ok {
			return nil, errors.New("the peer is not a *unix.Ucred")
		}
		if same, ok := UnixCredentials(ctx); !ok || same != ucred {
			return nil, errors.New("UnixCredentials differs from PeerFromContext")
		}
		if int(ucred.Pid) != os.Getpid() || int(ucred.Uid) != os.Geteuid() || int(ucred.Gid) != os.Getegid() {
			return nil, errors.New("the credentials are not those of this process")
		}
		return &KeyValue{}, nil
	}}}
}

// listenUnix returns a listener on a path, and one on an abstract socket.
func listenUnix(t *testing.T) map[string]net.Listener {
	t.Helper()
	path := socketPath(t)
	listeners := make(map[string]net.Listener)
	for kind, addr := range map[string]string{"path": path, "abstract": "@" + path} {
		l, err := net.Listen("unix", addr)
		if err != nil {
			t.Fatal(err)
		}
		listeners[kind] = l
	}
	return listeners
}

// A check that admits this process lets it in, and handlers get its credentials.
func TestCredentialsAdmit(t *testing.T) {
	checks := map[string]UnixCredentialsFunc{
		"same user": UnixSocketRequireSameUser(),
		"uid, gid":  UnixSocketRequireUidGid(os.Geteuid(), os.Getegid()),
		"own check": func(*unix.Ucred) error { return nil },
	}
	if os.Geteuid() == 0 && os.Getegid() == 0 {
		checks["root"] = UnixSocketRequireRoot()
	}
	for name, check := range checks {
		for kind, l := range listenUnix(t) {
			serveOn(t, l, credentialsService(), WithServerHandshaker(check))
			c := dialTest(t, l.Addr().String())
			if err := c.Call(testContext(t), testService, "Peer", &KeyValue{}, &KeyValue{}); err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
}

// A check that does not admit this process refuses it and names the wanted ids.
func TestCredentialsRefuse(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	checks := map[string]UnixCredentialsFunc{
		"another uid": UnixSocketRequireUidGid(uid+1, gid),
		"another gid": UnixSocketRequireUidGid(uid, gid+1),
		"own check":   func(*unix.Ucred) error { return syscall.EPERM },
	}
	if uid != 0 {
		checks["root"] = UnixSocketRequireRoot()
	}
	for name, check := range checks {
		for kind, l := range listenUnix(t) {
			rec := newLogRecorder()
			s := serveOn(t, l, echoMethods(), WithServerHandshaker(check), WithServerLogger(rec))
			if err := echo(testContext(t), dialTest(t, l.Addr().String()), "x"); err != ErrClosed {
				t.Errorf("%s, %s: got %v, want ErrClosed", name, kind, err)
			}
			rec.wait(t, fmt.Sprintf("connection to %q refused: ", l.Addr().String()), "refused", "operation not permitted")
			serverIdle(t, s)
		}
	}
}

// requireUidGid compares its ids with those of the peer, in a process of any user.
func TestCredentialsComparison(t *testing.T) {
	root := &unix.Ucred{Pid: 1}
	user := &unix.Ucred{Pid: 2, Uid: 1000, Gid: 1000}
	for _, test := range []struct {
		name  string
		check UnixCredentialsFunc
		ucred *unix.Ucred
		admit bool
	}{
		{"root, root", UnixSocketRequireRoot(), root, true},
		{"root, user", UnixSocketRequireRoot(), user, false},
		{"root, root's gid alone", UnixSocketRequireRoot(), &unix.Ucred{Uid: 5}, false},
		{"root, root's uid alone", UnixSocketRequireRoot(), &unix.Ucred{Gid: 5}, false},
		{"user, user", UnixSocketRequireUidGid(1000, 1000), user, true},
		{"user, root", UnixSocketRequireUidGid(1000, 1000), root, false},
		{"uid alone, user", UnixSocketRequireUidGid(1000, -1), &unix.Ucred{Uid: 1000, Gid: 7}, true},
		{"uid alone, root", UnixSocketRequireUidGid(1000, -1), root, false},
		{"gid alone, user", UnixSocketRequireUidGid(-1, 1000), &unix.Ucred{Uid: 7, Gid: 1000}, true},
		{"gid alone, root", UnixSocketRequireUidGid(-1, 1000), root, false},
		{"any, user", UnixSocketRequireUidGid(-1, -1), user, true},
		{"no id, the highest", UnixSocketRequireUidGid(-2, -1), &unix.Ucred{Uid: 1<<32 - 2}, math.MaxInt == math.MaxInt32},
		{"user, the highest ids", UnixSocketRequireUidGid(1000, 1000), &unix.Ucred{Uid: 1<<32 - 1, Gid: 1<<32 - 1}, false},
	} {
		err := test.check(test.ucred)
		if (err == nil) != test.admit {
			t.Errorf("%s: got %v, admitted should be %v", test.name, err, test.admit)
		}
		if err != nil && !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v is not EPERM", test.name, err)
		}
	}
}

// The overflow id stands for any number of users and identifies none. No check that
// compares with it admits a peer; other checks are not affected.
func TestCredentialsOverflow(t *testing.T) {
	defer func(saved func(string) int) { overflowID = saved }(overflowID)
	overflow := map[string]int{"uid": 60001, "gid": 60002}
	overflowID = func(kind string) int { return overflow[kind] }
	nobody := &unix.Ucred{Uid: 60001, Gid: 60002}
	for _, test := range []struct {
		name  string
		check UnixCredentialsFunc
		ucred *unix.Ucred
		admit bool
	}{
		{"both", UnixSocketRequireUidGid(60001, 60002), nobody, false},
		{"uid", UnixSocketRequireUidGid(60001, 5), &unix.Ucred{Uid: 60001, Gid: 5}, false},
		{"gid", UnixSocketRequireUidGid(5, 60002), &unix.Ucred{Uid: 5, Gid: 60002}, false},
		{"uid alone", UnixSocketRequireUidGid(60001, -1), nobody, false},
		{"gid alone", UnixSocketRequireUidGid(-1, 60002), nobody, false},
		{"any", UnixSocketRequireUidGid(-1, -1), nobody, true},
		{"another", UnixSocketRequireUidGid(5, 6), nobody, false},
		{"any group", UnixSocketRequireUidGid(5, -1), &unix.Ucred{Uid: 5, Gid: 60002}, true},
		{"the other's", UnixSocketRequireUidGid(60002, 60001), &unix.Ucred{Uid: 60002, Gid: 60001}, true},
		{"root", UnixSocketRequireRoot(), &unix.Ucred{}, true},
	} {
		err := test.check(test.ucred)
		if (err == nil) != test.admit {
			t.Errorf("%s: got %v, admitted should be %v", test.name, err, test.admit)
		}
		if err != nil && !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v is not EPERM", test.name, err)
		}
	}
	overflow["uid"], overflow["gid"] = -1, -1 // on the host
	if err := UnixSocketRequireUidGid(60001, 60002)(nobody); err != nil {
		t.Errorf("where every id has its place: %v", err)
	}
}

// If the kernel does not return the credentials, the connection is refused: it is never
// accepted without them (regression 9).
func TestFailingPeercredRefuses(t *testing.T) {
	defer func(saved func(int, int, int) (*unix.Ucred, error)) { getsockoptUcred = saved }(getsockoptUcred)
	for name, getsockopt := range map[string]func(int, int, int) (*unix.Ucred, error){
		"error":              func(int, int, int) (*unix.Ucred, error) { return nil, unix.ENOPROTOOPT },
		"error, credentials": func(int, int, int) (*unix.Ucred, error) { return &unix.Ucred{}, unix.ENOPROTOOPT },
		"nothing":            func(int, int, int) (*unix.Ucred, error) { return nil, nil },
	} {
		getsockoptUcred = getsockopt
		_, server := socketPair(t)
		asked := false
		check := UnixCredentialsFunc(func(*unix.Ucred) error { asked = true; return nil })
		nc, peer, err := check.Handshake(context.Background(), server)
		if err == nil || nc != nil || peer != nil {
			t.Errorf("%s: admitted with %v, %v", name, peer, err)
		}
		if asked {
			t.Errorf("%s: the check was asked without credentials", name)
		}
		if strings.HasPrefix(name, "error") && !errors.Is(err, unix.ENOPROTOOPT) {
			t.Errorf("%s: %v does not wrap the cause", name, err)
		}
	}
}

// A connection whose file descriptor is closed has no credentials either.
func TestCredentialsOfClosedConn(t *testing.T) {
	_, server := socketPair(t)
	server.Close()
	check := UnixCredentialsFunc(func(*unix.Ucred) error { return nil })
	if _, _, err := check.Handshake(context.Background(), server); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// A connection that is not a Unix socket is refused, with an error that says so.
func TestCredentialsOfOtherConns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Bool
	rec := newLogRecorder()
	serveOn(t, l, echoMethods(), WithServerLogger(rec), WithServerHandshaker(UnixCredentialsFunc(func(*unix.Ucred) error {
		asked.Store(true)
		return nil
	})))
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc)
	defer c.Close()
	if err := echo(testContext(t), c, "x"); err != ErrClosed {
		t.Errorf("got %v, want ErrClosed", err)
	}
	rec.wait(t, "connection ", "refused: ", "*net.TCPConn is not a unix socket")

	pipe, other := net.Pipe()
	defer other.Close()
	if _, _, err := UnixSocketRequireSameUser().Handshake(context.Background(), pipe); err == nil ||
		!strings.Contains(err.Error(), "is not a unix socket") {
		t.Errorf("net.Pipe: got %v", err)
	}
	if asked.Load() {
		t.Error("the check was asked about something else than a unix socket")
	}
}

// wrappedUnixConn is not a *net.UnixConn, but contains one.
type wrappedUnixConn struct{ net.Conn }

func (c *wrappedUnixConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// A connection that wraps a unix socket and gives access to it has credentials.
func TestCredentialsThroughWrapper(t *testing.T) {
	_, server := socketPair(t)
	wrapped := &wrappedUnixConn{Conn: server}
	nc, peer, err := UnixSocketRequireSameUser().Handshake(context.Background(), wrapped)
	if err != nil || nc != net.Conn(wrapped) {
		t.Errorf("got %v, %v", nc, err)
	}
	if ucred, ok := peer.(*unix.Ucred); !ok || int(ucred.Pid) != os.Getpid() {
		t.Errorf("got the peer %v", peer)
	}
}

// Sequenced-packet sockets have credentials, too, and are served.
func TestCredentialsOfPacketSocket(t *testing.T) {
	l, err := net.Listen("unixpacket", filepath.Join(t.TempDir(), "p"))
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, credentialsService(), WithServerHandshaker(UnixSocketRequireSameUser()))
	nc, err := net.Dial("unixpacket", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc)
	defer c.Close()
	if err := c.Call(testContext(t), testService, "Peer", &KeyValue{}, &KeyValue{}); err != nil {
		t.Error(err)
	}
}

// The log describes a peer by its credentials, not as a Go structure.
func TestCredentialsInLog(t *testing.T) {
	rec := newLogRecorder()
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(rec),
		WithServerHandshaker(UnixCredentialsFunc(func(*unix.Ucred) error { return nil })))
	w := dialWire(t, addr)
	w.write(header{length: 1 << 24, id: 1, typ: messageTypeRequest}, nil)
	rec.wait(t, fmt.Sprintf("connection from pid %d, uid %d, gid %d failed: ", os.Getpid(), os.Getuid(), os.Getgid()))
}

// UnixCredentials returns nothing outside of a handler, nor for the result of another
// handshaker.
func TestUnixCredentialsOfOthers(t *testing.T) {
	for _, peer := range []any{nil, "a name", (*unix.Ucred)(nil)} {
		ctx := context.WithValue(context.Background(), peerKey{}, peer)
		if ucred, ok := UnixCredentials(ctx); ok || ucred != nil {
			t.Errorf("%T: got %v, %v", peer, ucred, ok)
		}
	}
}
