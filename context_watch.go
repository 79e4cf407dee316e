package ttrpc

import "context"

// This file is how we look at contexts, which may be of any type: their methods are
// code of their owners, who may hold locks in them, and wait for us with these locks held.

// watchContext has f called when ctx ends, whose Done is done, until stop is called. For
// a context with an AfterFunc of its own it calls no method of that: the owner's locks
// may be held by a goroutine that waits for the caller.
func watchContext(ctx context.Context, done <-chan struct{}, f func()) (stop func() bool) {
	if _, ours := ctx.(*callContext); ours {
		return context.AfterFunc(ctx, f)
	}
	if _, other := ctx.(interface{ AfterFunc(func()) func() bool }); !other {
		return context.AfterFunc(ctx, f)
	}
	quit := make(chan struct{})
	go func() { // ends with the context or the watch
		select {
		case <-done:
			f()
		case <-quit:
		}
	}()
	return func() bool {
		close(quit)
		return true
	}
}

// stopWatch is the goroutine that ends a watch on the context of somebody else than the
// one who does without it now. It may wait for that context's owner, and a panic is of no
// use to anybody.
func stopWatch(stop func() bool) {
	defer func() { _ = recover() }()
	stop()
}

// contextError returns the error of a context that has ended. It is for goroutines that
// are not its owner's, which a panic of its Err must not end.
func contextError(ctx context.Context) (err error) {
	defer func() {
		if recover() != nil {
			err = context.Canceled
		}
	}()
	return ctx.Err()
}

// isClosed reports whether a channel that is only ever closed is; false for nil.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
