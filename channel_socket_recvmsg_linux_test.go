//go:build go1.25

package ttrpc

// A socket that may get descriptors is read by recvmsg(2): its faults are those of
// read(2), see faultyCall.
func init() {
	sysRecvmsg = func(fd int, b, control []byte) (n, controlled int, err error) {
		n, err = faultyCall(fd, b, true, func(fd int, b []byte) (n int, err error) {
			n, controlled, err = recvmsg(fd, b, control)
			return n, err
		})
		return n, controlled, err
	}
}
