//go:build !plan9

package ttrpc

import (
	"syscall"

	"google.golang.org/grpc/codes"
)

// Plan 9 does not have these errors of the system.
const (
	errConnReset   = syscall.ECONNRESET
	errConnAborted = syscall.ECONNABORTED
	errNotConn     = syscall.ENOTCONN
	errPipe        = syscall.EPIPE
	errNoMemory    = syscall.ENOMEM
	errNoFiles     = syscall.ENFILE
)

func init() {
	handlerErrors = append(handlerErrors, handlerError{syscall.ENOTEMPTY, codes.AlreadyExists, false}) // os.IsExist says so
}
