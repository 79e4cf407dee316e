package support

import (
	"os"
	"strconv"
)

var mutateActive, _ = strconv.Atoi(os.Getenv("MUTATE_ACTIVE"))

// mutated reports whether the mutant of that number is active.
func mutated(number int) bool { return number == mutateActive }
