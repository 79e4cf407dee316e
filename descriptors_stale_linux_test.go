package ttrpc

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A read that fails leaves the control messages of an earlier one where they were: their
// descriptors may be the program's by now. Credentials are no descriptors.
func TestReceiveOfStaleControl(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rights := unix.UnixRights(int(file.Fd()))
	credentials := unix.UnixCredentials(&unix.Ucred{Pid: 1})
	for _, test := range []struct {
		control []byte
		n       int
		err     error
	}{{rights, -1, syscall.EAGAIN}, {credentials, 1, nil}} {
		real := sysRecvmsg
		sysRecvmsg = func(r *receiver, fd int, b []byte) (int, error) {
			r.iov.Base = &b[0]
			r.msg.SetControllen(copy(r.control[:], test.control))
			return test.n, test.err
		}
		n, err := receive(-1, make([]byte, 1))
		sysRecvmsg = real
		if n != test.n || err != test.err {
			t.Errorf("got %d, %v, want %d, %v", n, err, test.n, test.err)
		}
	}
	settle(t)
	if _, err := file.Stat(); err != nil {
		t.Errorf("the descriptor is closed: %v", err)
	}
}
