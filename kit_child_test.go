package ttrpc

import (
	"context"
	"os"
	"os/exec"
	"runtime"
)

// emulatorVariable names the program that runs this test binary, where the machine itself
// cannot: qemu-arm and the like. tools/arch sets it.
const emulatorVariable = "TTRPC_TEST_EMULATOR"

// emulated reports whether the tests run under an emulator, which takes several times as
// long: limits of time do not hold there.
func emulated() bool { return os.Getenv(emulatorVariable) != "" }

// childTest returns a command that runs one test of this binary in a process of its own,
// which ends with ctx. More arguments are further flags. The caller adds the environment.
func childTest(ctx context.Context, name string, flags ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	args := append([]string{"-test.run=^" + name + "$", "-test.count=1"}, flags...)
	if emulated() {
		return exec.CommandContext(ctx, os.Getenv(emulatorVariable), append([]string{exe}, args...)...)
	}
	if runtime.GOOS == "linux" {
		// By this name other users can run a program whose directory is closed to them.
		exe = "/proc/self/exe"
	}
	return exec.CommandContext(ctx, exe, args...)
}
