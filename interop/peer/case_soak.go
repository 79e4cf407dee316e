package main

import (
	"context"
	"fmt"
	"math/rand"
	"time"
)

func init() {
	cases["soak"] = (*env).soak
}

// soakTime is short, as every pairing runs these.
const (
	soakTime    = time.Second
	soakCallers = 16
)

// soak makes calls of random sizes, some of which are cancelled or late.
func (e *env) soak() error {
	return e.soakWith(e.soakCall)
}

// soakWith has callers do things for a while, each from random numbers of its own.
func (e *env) soakWith(do func(r *rand.Rand) error) error {
	end := time.Now().Add(soakTime)
	err := concurrently(soakCallers, func(caller int) error {
		r := rand.New(rand.NewSource(int64(caller)))
		for n := 0; time.Now().Before(end); n++ {
			if err := do(r); err != nil {
				return fmt.Errorf("number %d: %w", n, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.alive()
}

// soakSize is small as a rule.
func soakSize(r *rand.Rand) int {
	if r.Intn(20) == 0 {
		return r.Intn(100_000)
	}
	return r.Intn(500)
}

// soakCall makes a call and checks its response, or the error of its context.
func (e *env) soakCall(r *rand.Rand) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	after := time.Duration(r.Intn(2000)) * time.Microsecond
	given := func(err error) error { return err } // the error that is allowed besides a response
	switch r.Intn(4) {
	case 0:
		ctx, cancel = context.WithTimeout(ctx, after)
		defer cancel()
		given = wantDeadline
	case 1:
		timer := time.AfterFunc(after, cancel)
		defer timer.Stop()
		given = func(err error) error { return wantSentinel(err, context.Canceled) }
	}
	var resp bytesMsg
	seq, size := r.Intn(1_000_000), soakSize(r)
	req := payloadRequest(seq, requestHeader+soakSize(r), size)
	if err := e.call(ctx, "Payload", req, &resp); err != nil {
		return given(err)
	}
	return checkPattern(resp.Value, seq, size)
}
