package support

import "cmp"

// The comparisons, each of which is the other one of equal operands if its mutant is
// active.

func mutateLess[T cmp.Ordered](number int, a, b T) bool {
	return a < b || a == b && mutated(number)
}

func mutateLessOrEqual[T cmp.Ordered](number int, a, b T) bool {
	return a < b || a == b && !mutated(number)
}

func mutateGreater[T cmp.Ordered](number int, a, b T) bool {
	return a > b || a == b && mutated(number)
}

func mutateGreaterOrEqual[T cmp.Ordered](number int, a, b T) bool {
	return a > b || a == b && !mutated(number)
}
