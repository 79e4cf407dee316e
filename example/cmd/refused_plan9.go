package main

// connectionRefused has no errors on Plan 9, which has no sockets of this kind.
var connectionRefused []error
