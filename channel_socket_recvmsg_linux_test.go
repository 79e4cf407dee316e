//go:build go1.25

package ttrpc

// A socket that may get descriptors is read by recvmsg(2): its faults are those of
// read(2), see faultyCall.
func init() {
	sysRecvmsg = func(r *receiver, fd int, b []byte) (int, error) {
		return faultyCall(fd, b, true, r.recvmsg)
	}
}
