package socket

import "errors"

var inUse = errors.New("address already in use")

// Plan 9 has no unix sockets, and its errors are texts.
var refusedErrors, tooLongErrors []error
