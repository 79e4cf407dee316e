//go:build !plan9

package socket

import "syscall"

const inUse = syscall.EADDRINUSE

var (
	// refusedErrors say that nobody listens. The second is Windows' WSAECONNREFUSED,
	// which package syscall lacks.
	refusedErrors = []error{syscall.ECONNREFUSED, syscall.Errno(10061)}

	// tooLongErrors are those of paths: package net has EINVAL for them.
	tooLongErrors = []error{syscall.EINVAL, syscall.ENAMETOOLONG}
)
