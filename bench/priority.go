package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// Other programs on the machine are noise. Where this user may, the
// client and the server get a higher priority.

const raisedNice = "-15"

// measured returns a command with a raised priority.
func measured(ctx context.Context, program string, args ...string) *exec.Cmd {
	if !mayRaise() {
		return exec.CommandContext(ctx, program, args...)
	}
	return exec.CommandContext(ctx, "nice", append([]string{"-n", raisedNice, program}, args...)...)
}

// mayRaise tries it. nice only warns when it may not, and the warning would be
// taken for the program's.
var mayRaise = sync.OnceValue(func() bool {
	out, err := exec.Command("nice", "-n", raisedNice, "true").CombinedOutput()
	if err != nil || len(out) > 0 {
		progress("other programs may disturb: no right to raise the priority")
		return false
	}
	return true
})

// raiseAutogroup raises the whole session's priority, and returns a function that
// takes that back. With autogroups, as many distributions have them, the kernel shares
// the cores among sessions first, and a program's own priority counts only
// within its session.
func raiseAutogroup() (restore func()) {
	const file = "/proc/self/autogroup"
	var group, nice int
	b, err := os.ReadFile(file)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "/autogroup-%d nice %d", &group, &nice)
	}
	if err != nil || !mayRaise() {
		return func() {} // no autogroups, or no right
	}
	set := func(nice string) {
		if err := os.WriteFile(file, []byte(nice), 0o644); err != nil {
			progress("set the session's priority to %s: %v", nice, err)
		}
	}
	set(raisedNice)
	return func() { set(fmt.Sprint(nice)) }
}
