//go:build !plan9

package ttrpc

import "syscall"

// closedErrnos are the system's errors for a connection that is over.
var closedErrnos = []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ENOTCONN}

// temporaryErrnos are the errors of accept(2) after which another try may succeed.
var temporaryErrnos = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EAGAIN,
}
