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

// An Option changes the socket that ListenUnix makes.
type Option func(*config)

type config struct {
	mode     fs.FileMode
	modeSet  bool
	uid, gid int // -1 for the id of the process
}

// WithMode sets the permission bits of the socket; connecting needs the write bit. The
// default is 0600: only the owner and root can connect. The umask has no effect.
func WithMode(mode fs.FileMode) Option {
	return func(c *config) { c.mode, c.modeSet = mode.Perm(), true }
}

// WithOwner sets the owner and the group of the socket; -1 leaves one unchanged. Changing
// the owner needs root, and changing the group needs root or membership in the group. On
// systems without owners ListenUnix fails.
func WithOwner(uid, gid int) Option {
	return func(c *config) { c.uid, c.gid = uid, gid }
}

// ListenUnix makes a Unix socket at path and listens on it. The mode and the owner are set
// before anyone can connect. No other user may be able to rename or remove files in the
// directory: either no other user can write to it, or it has the sticky bit. Otherwise a
// user could put a link in place of the socket, and ListenUnix would set the mode of the
// link's target.
//
// On Linux, a path that begins with @ is an abstract name, which has neither file nor mode:
// ListenUnix fails if there are options. A Handshaker such as
// ttrpc.UnixSocketRequireSameUser then decides which peers to serve.
//
// ListenUnix replaces a stale socket, on which no process listens any more. It does not
// touch a socket that is in use (the error matches syscall.EADDRINUSE), nor a file of
// another kind (fs.ErrExist). Processes that start at the same time do not remove each
// other's sockets: on the BSDs, illumos, Linux and macOS ListenUnix locks the directory for
// a moment (flock). If another process holds the lock for a second, stale sockets are not
// replaced.
//
// Closing the listener removes the socket, unless another file has taken its place. A
// second Close returns net.ErrClosed. A relative path refers to the working directory at
// the time of the call. Several goroutines may call ListenUnix, and the methods of the
// listener, at once. The listener also has the methods of *net.UnixListener.
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

// explainListen adds the reason, in words, to the error of a socket that cannot be made.
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

// staleAfter is the time between two attempts to connect. A stale socket refuses both. A
// socket that refuses only the first may belong to a program that uses no lock, and that
// had made the socket but did not listen yet.
const staleAfter = 10 * time.Millisecond

// removeStale removes a stale socket at path. It returns an error if path is taken, or if
// the socket is stale and lockErr says that the directory is not locked.
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

// listener is a socket with a path. Several goroutines may call Close.
type listener struct {
	*net.UnixListener
	path   string      // absolute
	file   fs.FileInfo // the socket, when it was made
	remove sync.Once
}

// Close removes the path while the socket still listens, so that no other process takes
// the socket for stale and replaces it before the removal.
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
