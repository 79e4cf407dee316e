package ttrpc

import "syscall"

// The errors of Plan 9 are texts, with few exceptions: see errno.go.
var (
	closedErrnos    = []error{syscall.ErrorString("i/o on hungup channel")}
	temporaryErrnos = []error{syscall.EMFILE, syscall.EINTR}
)
