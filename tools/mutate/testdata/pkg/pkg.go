// Package pkg has a mutant of each verdict.
package pkg

// Sum adds up the numbers that are at least least.
func Sum(least int, numbers ...int) int {
	sum := 0
	for _, n := range numbers {
		if n >= least {
			sum += n
		}
	}
	return sum
}

// Count counts down, for ever if its decrement is dropped.
func Count(n int) {
	for n > 0 {
		n--
	}
}

// Unguarded has no test that would notice.
func Unguarded(calls *int) {
	*calls++
}

// Last ends with a call without which it does not compile.
func Last(ok bool) int {
	if ok && !false {
		return 1
	}
	panic("last")
}
