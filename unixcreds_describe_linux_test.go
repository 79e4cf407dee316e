package ttrpc

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestDescribeNoCredentials(t *testing.T) {
	if got, want := describePeer((*unix.Ucred)(nil)), `"<nil>"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
