package ttrpc

// A mark is an action for the time when everything up to an offset is written, or can no
// longer be written: a channel to close, or a function to run.
type mark struct {
	offset  int64 // in the bytes sent on the connection
	reached chan struct{}
	run     func()
}

// marks are the marks of a writer, in order of their offsets. writer.mu guards them.
type marks []mark

// add adds a mark, after those of the same offset.
func (ms *marks) add(m mark) {
	list := append(*ms, m)
	for i := len(list) - 1; i > 0 && list[i-1].offset > m.offset; i-- {
		list[i-1], list[i] = list[i], list[i-1]
	}
	*ms = list
}

// reach removes the marks up to offset, closes their channels and returns the marks. The
// caller runs their functions without a lock: a function may do anything, and must not
// hold up the goroutines that wait for the channels.
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

// run runs the functions of reached marks in order.
func (ms marks) run() {
	for _, m := range ms {
		if m.run != nil {
			m.run()
		}
	}
}
