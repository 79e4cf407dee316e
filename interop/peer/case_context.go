package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func init() {
	cases["timeout_reaches_handler"] = (*env).timeoutReachesHandler
	cases["timeout_on_sleeping_server"] = (*env).timeoutOnSleepingServer
	cases["timeout_ends_handler"] = (*env).timeoutEndsHandler
	cases["expired_before_call"] = (*env).expiredBeforeCall
	cases["cancel_in_call"] = (*env).cancelInCall
	cases["late_responses"] = (*env).lateResponses
}

// short is a timeout that is meant to expire.
const short = 50 * time.Millisecond

func (e *env) timeoutReachesHandler() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	got, err := e.contextOf(ctx)
	if err != nil {
		return err
	}
	if !got.HasDeadline || got.Remaining > time.Hour || got.Remaining < time.Hour-time.Minute {
		return fmt.Errorf("the handler got %+v, want a little less than an hour", got)
	}
	if got, err = e.contextOf(context.Background()); err != nil {
		return err
	}
	if got.HasDeadline {
		return fmt.Errorf("the next call, without a timeout, got %+v", got)
	}
	return nil
}

// timedOut makes a call that lasts until its timeout.
func (e *env) timedOut() error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	err := e.call(ctx, "Wait", &emptyMsg{}, &emptyMsg{})
	if spent := time.Since(start); spent < short || spent > patience {
		return fmt.Errorf("the call took %v, want %v", spent, short)
	}
	return err
}

func (e *env) timeoutOnSleepingServer() error {
	if err := wantDeadline(e.timedOut()); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) timeoutEndsHandler() error {
	if err := wantDeadline(e.timedOut()); err != nil {
		return err
	}
	return e.waitStats("the handler to end at its deadline", idle)
}

func (e *env) expiredBeforeCall() error {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if err := wantDeadline(e.call(ctx, "Empty", &emptyMsg{}, &emptyMsg{})); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) cancelInCall() error {
	if err := e.waitStats("the handlers of earlier cases to end", idle); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	called := make(chan error, 1)
	go func() { called <- e.call(ctx, "Wait", &emptyMsg{}, &emptyMsg{}) }()
	if err := e.waitStats("the call to begin", func(s stats) bool { return s.Handlers == 1 }); err != nil {
		return err
	}
	cancel()
	select {
	case err := <-called:
		if err := wantSentinel(err, context.Canceled); err != nil {
			return err
		}
	case <-time.After(patience):
		return errors.New("a cancelled call did not return")
	}
	return e.alive()
}

// lateResponses abandons calls whose responses then come all the same.
func (e *env) lateResponses() error {
	const n = 16
	// One that has not ended yet would be counted in place of one of these calls,
	// which might then begin after the release and wait for the next.
	if err := e.waitStats("the handlers of earlier cases to end", idle); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, n)
	for i := 0; i < n; i++ {
		go func() { ended <- e.call(ctx, "Late", &emptyMsg{}, &emptyMsg{}) }()
	}
	if err := e.waitStats("the calls to begin", func(s stats) bool { return s.Handlers == n }); err != nil {
		return err
	}
	cancel()
	for i := 0; i < n; i++ {
		if err := wantSentinel(<-ended, context.Canceled); err != nil {
			return err
		}
	}
	if err := e.call(context.Background(), "Release", &emptyMsg{}, &emptyMsg{}); err != nil {
		return err
	}
	if err := e.waitStats("the late responses", idle); err != nil {
		return err
	}
	for i := 0; i < 32; i++ {
		if err := e.exchange(i, requestHeader+i, i); err != nil {
			return err
		}
	}
	return nil
}
