//go:build !plan9

package sockaddr

import "syscall"

// InUse is the error of a socket on which another process listens.
const InUse = syscall.EADDRINUSE

var (
	// refusedErrors say that nobody listens. The second is Windows' WSAECONNREFUSED,
	// which package syscall lacks.
	refusedErrors = []error{syscall.ECONNREFUSED, syscall.Errno(10061)}

	// tooLongErrors are those of paths: package net has EINVAL for them.
	tooLongErrors = []error{syscall.EINVAL, syscall.ENAMETOOLONG}
)
