//go:build !plan9

package main

import "syscall"

// connectionRefused are the errors of connecting to a socket that nobody listens
// on. The second is Windows' WSAECONNREFUSED, which package syscall lacks.
var connectionRefused = []error{syscall.ECONNREFUSED, syscall.Errno(10061)}
