package support

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	mutateReached, _ = os.OpenFile(os.Getenv("MUTATE_REACHED"), os.O_WRONLY|os.O_APPEND, 0)
	mutateSeen       [1 << 16]atomic.Bool
)

// mutated writes down that the program has reached the mutant of that number, which is
// not active. It does so in child processes, too, and in those that are killed.
func mutated(number int) bool {
	if !mutateSeen[number].Load() && !mutateSeen[number].Swap(true) {
		mutateReached.WriteString(strconv.Itoa(number) + "\n")
	}
	return false
}
