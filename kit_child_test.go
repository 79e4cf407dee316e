package ttrpc

import (
	"context"
	"os"
	"os/exec"
	"runtime"
)

// emulatorVariable is the environment variable that names an emulator for this test binary,
// such as qemu-arm, on machines that cannot run it themselves. tools/arch sets it.
const emulatorVariable = "TTRPC_TEST_EMULATOR"

// emulated reports whether the tests run under an emulator. It takes several times as long,
// so that time limits do not hold.
func emulated() bool { return os.Getenv(emulatorVariable) != "" }

// childTest returns a command that runs one test of this binary in another process, which
// ends with ctx. flags are further flags. The caller adds the environment.
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
		// Other users can run the program by this name even if its directory is closed to them.
		exe = "/proc/self/exe"
	}
	return exec.CommandContext(ctx, exe, args...)
}
