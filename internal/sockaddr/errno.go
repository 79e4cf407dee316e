//go:build !plan9

package sockaddr

import "syscall"

// InUse is the error of a socket on which another process listens.
const InUse = syscall.EADDRINUSE

var (
	// refusedErrors are the errors of a socket on which no server listens. The second is
	// WSAECONNREFUSED of Windows, which package syscall lacks.
	refusedErrors = []error{syscall.ECONNREFUSED, syscall.Errno(10061)}

	// tooLongErrors are the errors of a path that is too long: package net returns EINVAL.
	tooLongErrors = []error{syscall.EINVAL, syscall.ENAMETOOLONG}
)
