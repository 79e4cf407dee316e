package ttrpc

import "syscall"

const (
	errConnReset   = syscall.ErrorString("i/o on hungup channel")
	errConnAborted = errConnReset
	errNotConn     = errConnReset
	errPipe        = errConnReset
	errNoMemory    = syscall.ErrorString("no free memory")
	errNoFiles     = syscall.ErrorString("no free file descriptors")
)
