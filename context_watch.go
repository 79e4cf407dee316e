package ttrpc

import "context"

// This file watches contexts, which may be of any type. Their methods are the users' code:
// they may take the user's locks, which a goroutine may hold while it waits for this
// package.

// watchContext arranges for f to be called when ctx, whose Done is done, ends, unless stop
// is called first. It does not call the AfterFunc of a context that has its own: the user's
// locks may be held by a goroutine that waits for the caller.
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

// stopWatch is the goroutine that ends a watch for a goroutine other than the context's
// owner. It ends when stop returns, which may wait for the owner. Nobody could handle a
// panic of stop.
func stopWatch(stop func() bool) {
	defer func() { _ = recover() }()
	stop()
}

// contextError returns the error of a context that has ended, for goroutines other than its
// owner's: a panic of Err must not end them.
func contextError(ctx context.Context) (err error) {
	defer func() {
		if recover() != nil {
			err = context.Canceled
		}
	}()
	return ctx.Err()
}

// isClosed reports whether c, a channel without sends, is closed; false for nil.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
