//go:build !plan9

package ttrpc

import "syscall"

// closedErrnos are the ways in which the system says that a connection is over.
var closedErrnos = []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ENOTCONN}

// temporaryErrnos are the errors of accepting that pass.
var temporaryErrnos = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EAGAIN,
}
