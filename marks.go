package ttrpc

// A mark is something to do when everything that a connection sends is written up to an
// offset, or will never be: a channel to close, or a function to run.
type mark struct {
	offset  int64 // in the bytes that the connection sends
	reached chan struct{}
	run     func()
}

// marks are the marks of a writer, in order of their offsets. writer.mu guards them.
type marks []mark

// add adds a mark, behind those of the same offset.
func (ms *marks) add(m mark) {
	list := append(*ms, m)
	for i := len(list) - 1; i > 0 && list[i-1].offset > m.offset; i-- {
		list[i-1], list[i] = list[i], list[i-1]
	}
	*ms = list
}

// reach removes the marks up to offset and closes their channels. The caller runs the
// functions of those that it returns, without a lock: they may do anything, and must
// not hold up the goroutines that wait for the channels.
func (ms *marks) reach(offset int64) (reached marks) {
	n := 0
	for n < len(*ms) && (*ms)[n].offset <= offset {
		n++
	}
	reached = (*ms)[:n:n]
	if *ms = (*ms)[n:]; len(*ms) == 0 {
		*ms = nil
	}
	for _, m := range reached {
		if m.reached != nil {
			close(m.reached)
		}
	}
	return reached
}

// run runs the functions of marks that are reached, in their order.
func (ms marks) run() {
	for _, m := range ms {
		if m.run != nil {
			m.run()
		}
	}
}
