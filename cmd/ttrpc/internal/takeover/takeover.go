// Package takeover puts a listener in the place of a unix socket, and puts the socket back.
// There is always one of the two at the path, so that no client finds nothing.
package takeover

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/ttrpc/internal/sockaddr"
)

// Suffix is added to the path of a socket that has been taken over.
const Suffix = ".ttrpc-trace"

// beginSuffix is that of the new socket until it takes its place. It is as long as Suffix:
// the path of a socket has a limit.
const beginSuffix = ".ttrpc-begin"

// A Place is a path that has been taken over.
type Place struct {
	// Listener accepts the clients that connect to the path.
	Listener net.Listener

	// Saved is where the server's socket is meanwhile.
	Saved string

	// Repaired is set if an earlier takeover had not been undone.
	Repaired bool

	path string
	ours fs.FileInfo // of the listener's socket
}

// Take puts a listener with the mode and the owner of the socket at path in its place.
// First it undoes an earlier takeover, whose process has crashed.
func Take(path string) (_ *Place, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	p := &Place{path: path, Saved: path + Suffix}
	if p.Repaired, err = p.repair(); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !sockaddr.IsSocket(info) {
		return nil, fmt.Errorf("%s is no socket, but %v", path, info.Mode().Type())
	}
	begin := path + beginSuffix
	os.Remove(begin) // of an earlier start that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: begin, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen in the place of %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			l.Close()
			os.Remove(begin)
		}
	}()
	keepFile(l)
	if err := imitate(begin, info); err != nil {
		return nil, err
	}
	if p.ours, err = os.Lstat(begin); err != nil {
		return nil, err
	}
	p.Listener = l
	return p, p.swap(begin)
}

// imitate gives a socket the mode and the owner of another one.
func imitate(path string, of fs.FileInfo) error {
	if uid, gid, ok := owner(of); ok {
		if err := os.Lchown(path, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, of.Mode().Perm())
}

// swap gives the server's socket its other name and puts the new one in its place. Where
// there are no hard links, or not for this user, nobody is at the path for a moment.
func (p *Place) swap(begin string) error {
	if err := os.Link(p.path, p.Saved); err != nil {
		if err := os.Rename(p.path, p.Saved); err != nil {
			return err
		}
	}
	if err := os.Rename(begin, p.path); err != nil {
		return errors.Join(err, os.Rename(p.Saved, p.path))
	}
	return nil
}

// Restore puts the server's socket back, unless the server has made a new one meanwhile:
// then it stays, and remade is set. The listener goes on.
func (p *Place) Restore() (remade bool, err error) {
	now, err := os.Lstat(p.path)
	if err == nil && !os.SameFile(now, p.ours) {
		return true, os.Remove(p.Saved)
	}
	return false, os.Rename(p.Saved, p.path)
}

// repair undoes an earlier takeover.
func (p *Place) repair() (done bool, err error) {
	saved, err := os.Lstat(p.Saved)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := os.Lstat(p.path)
	switch {
	case err == nil && os.SameFile(now, saved): // it crashed before the new socket came
		return true, os.Remove(p.Saved)
	case errors.Is(err, fs.ErrNotExist), err == nil && !answers(p.path):
		return true, os.Rename(p.Saved, p.path)
	case err != nil:
		return false, err
	case !answers(p.Saved): // the server has ended, and another one begun
		return true, os.Remove(p.Saved)
	}
	return false, fmt.Errorf("another trace has %s already; if there is none, put the socket back by: mv %s %s", p.path, p.Saved, p.path)
}

// answers reports whether somebody listens at path. A full queue of clients counts.
func answers(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return !sockaddr.IsRefused(err)
	}
	conn.Close()
	return true
}
