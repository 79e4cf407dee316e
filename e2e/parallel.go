package main

import (
	"errors"
	"fmt"
	"sync"
)

// parallel calls f for 0 to n-1 at once and returns all errors, or as many as
// a reader can use.
func parallel(n int, f func(i int) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	const most = 3
	if len(errs) > most {
		errs = append(errs[:most:most], fmt.Errorf("and %d more errors", len(errs)-most))
	}
	return errors.Join(errs...)
}
