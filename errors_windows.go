package ttrpc

import "syscall"

func init() {
	closedErrors = append(closedErrors,
		syscall.WSAECONNRESET, syscall.WSAECONNABORTED,
		syscall.ERROR_BROKEN_PIPE, // a named pipe whose other end is closed
		syscall.Errno(232),        // ERROR_NO_DATA: the pipe is being closed
		syscall.Errno(233),        // ERROR_PIPE_NOT_CONNECTED
	)
}
