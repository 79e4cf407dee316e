package sockaddr

import "errors"

// InUse is the error of a socket on which another process listens.
var InUse = errors.New("address already in use")

// Plan 9 has no unix sockets, and its errors are texts.
var refusedErrors, tooLongErrors []error
