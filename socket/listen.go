package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/ttrpc/internal/sockaddr"
)

// An Option of ListenUnix.
type Option func(*config)

type config struct {
	mode     fs.FileMode
	modeSet  bool
	uid, gid int // -1 for that of the process
}

// WithMode sets the permission bits of the socket; connecting needs the write bit. The
// default is 0600: the owner and root alone. The umask has no part in it.
func WithMode(mode fs.FileMode) Option {
	return func(c *config) { c.mode, c.modeSet = mode.Perm(), true }
}

// WithOwner sets the owner and the group of the socket; -1 leaves one as it is. Another
// owner needs root, another group root or membership. Where the system has no owners it
// is an error.
func WithOwner(uid, gid int) Option {
	return func(c *config) { c.uid, c.gid = uid, gid }
}

// ListenUnix makes a unix socket at path and listens on it. Mode and owner are set before
// anyone can connect. No other user may be able to rename or remove files in the
// directory, which is its own or has the sticky bit: a link in the place of the socket
// would have the mode of another file set. A path that begins with @ is an abstract name, on Linux, which has
// neither file nor mode: an option is an error there, and a Handshaker
// such as ttrpc.UnixSocketRequireSameUser decides which peers to serve.
//
// A socket on which nobody listens any more is replaced. One that is in use is not
// touched, nor is a file of another kind: errors.Is tells syscall.EADDRINUSE and
// fs.ErrExist. Processes that start at the same time do not take each other's socket
// away: on the BSDs, illumos, Linux and macOS ListenUnix locks the directory for a moment
// (flock). A lock that others hold for a second costs no more than that stale sockets
// are not replaced.
//
// Close of the listener removes the socket, if path still is that, and a second one
// returns net.ErrClosed. A path that is not absolute is meant at the time of the call.
// ListenUnix may be called from several goroutines at once; so may the methods of the
// listener, which also has those of *net.UnixListener.
func ListenUnix(path string, opts ...Option) (net.Listener, error) {
	c := config{mode: 0o600, uid: -1, gid: -1}
	for _, opt := range opts {
		opt(&c)
	}
	l, err := c.listen(path)
	if err != nil {
		return nil, fmt.Errorf("ttrpc: cannot listen on %s: %w", path, err)
	}
	return l, nil
}

func (c *config) listen(path string) (net.Listener, error) {
	if err := sockaddr.CheckName(path); err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("the path is empty")
	}
	if sockaddr.IsAbstract(path) {
		if c.modeSet || c.uid != -1 || c.gid != -1 {
			return nil, errors.New("an abstract socket has no mode and no owner")
		}
		return net.Listen("unix", path)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	unlock, lockErr := lockDirectory(filepath.Dir(absolute))
	defer unlock()
	if err := removeStale(path, lockErr); err != nil {
		return nil, err
	}
	l, err := c.bind(path)
	if err != nil {
		return nil, explainListen(path, err)
	}
	info, err := os.Lstat(absolute)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &listener{UnixListener: l, path: absolute, file: info}, nil
}

// explainListen says in words why a socket cannot be made.
func explainListen(path string, err error) error {
	dir := filepath.Dir(path)
	switch _, statErr := os.Stat(dir); {
	case errors.Is(statErr, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s: %w", dir, err)
	case sockaddr.IsTooLong(err):
		return fmt.Errorf("%d bytes are too long for the path of a socket: %w", len(path), err)
	}
	return err
}

// staleAfter is the time between two attempts to connect, both of which a stale socket
// refuses: a program that uses no lock may have made the socket just now, and be about to
// listen on it.
const staleAfter = 10 * time.Millisecond

// removeStale makes room for a socket at path. Without the lock, because of lockErr, it
// removes nothing.
func removeStale(path string, lockErr error) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !sockaddr.IsSocket(info):
		return &fileError{"the path exists and is not a socket", fs.ErrExist}
	}
	for i := 0; i < 2; i++ {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			conn.Close()
			return &fileError{"a server listens there already", sockaddr.InUse}
		}
		if !sockaddr.IsRefused(err) {
			return fmt.Errorf("cannot tell whether a server listens there: %w", err)
		}
		if i == 0 {
			time.Sleep(staleAfter)
		}
	}
	if lockErr != nil {
		return fmt.Errorf("cannot replace the stale socket without a lock: %w", lockErr)
	}
	if again, err := os.Lstat(path); err != nil || !os.SameFile(info, again) {
		return &fileError{"another server has replaced the socket just now", sockaddr.InUse}
	}
	return os.Remove(path)
}

// fileError is an obstacle to a socket.
type fileError struct {
	text string
	kind error
}

func (e *fileError) Error() string { return e.text }
func (e *fileError) Unwrap() error { return e.kind }

// listener is a socket with a path. Close may be called by several goroutines.
type listener struct {
	*net.UnixListener
	path   string      // absolute
	file   fs.FileInfo // of path, when it was made
	remove sync.Once
}

// Close removes the path while the socket still listens: nobody takes it for stale, and
// makes another one there, in between.
func (l *listener) Close() error {
	var err error
	l.remove.Do(func() {
		info, statErr := os.Lstat(l.path)
		if statErr == nil && os.SameFile(info, l.file) {
			err = os.Remove(l.path)
		}
	})
	if closeErr := l.UnixListener.Close(); closeErr != nil {
		return closeErr
	}
	return err
}
