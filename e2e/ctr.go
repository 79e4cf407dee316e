package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// patience bounds one ctr command, and each other wait. A step that takes longer
// hangs. It is long because a busy machine with cgroups v1 can stand still
// for a minute while fifty runcs change them: every change stops all forks.
const patience = 2 * time.Minute

// errHung is a command that did not end in time. The rest of a pairing is not
// worth waiting for after it.
var errHung = errors.New("hung")

// ctrResult is how a ctr command ended.
type ctrResult struct {
	args           []string
	stdout, stderr string
	code           int
	err            error // it could not run, or hung
	omitsUnknown   bool  // as release.omitsUnknown
}

// ctr runs ctr without input.
func (e *env) ctr(ctx context.Context, args ...string) ctrResult {
	return e.ctrInput(ctx, "", args...)
}

// ctrInput runs ctr to its end with input on its standard input.
func (e *env) ctrInput(ctx context.Context, input string, args ...string) ctrResult {
	var stdout, stderr bytes.Buffer
	r := e.ctrStreams(ctx, strings.NewReader(input), &stdout, &stderr, args...)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

func (e *env) ctrStreams(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) ctrResult {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := ctrResult{args: args, omitsUnknown: releaseOf(e.job.Pairing.Daemon).omitsUnknown}
	cmd := e.ctrCommand(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.code, r.err = -1, fmt.Errorf("%w: %w", errHung, ctx.Err())
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		r.code, r.err = -1, err
	}
	return r
}

func (e *env) ctrCommand(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{"--address", e.socket(), "--namespace", e.job.Namespace}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(e.bin, "ctr"), all...)
	cmd.Env = e.environ()
	cmd.WaitDelay = 10 * time.Second // of a busy machine; its pipes end with ctr
	return cmd
}

// String shows the command and all it said.
func (r ctrResult) String() string {
	return fmt.Sprintf("ctr %s: exit %d, stdout %q, stderr %q",
		abbreviate(strings.Join(r.args, " ")), r.code, abbreviate(r.stdout), abbreviate(r.stderr))
}

func abbreviate(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// want checks the exit code, and that no error came with code 0.
func (r ctrResult) want(code int) error {
	if r.err != nil {
		return fmt.Errorf("%w (%s)", r.err, r)
	}
	if r.code != code {
		return fmt.Errorf("got exit code %d, want %d (%s)", r.code, code, r)
	}
	return nil
}

// wantOutput checks exit code and both outputs to the byte.
func (r ctrResult) wantOutput(code int, stdout, stderr string) error {
	if err := r.want(code); err != nil {
		return err
	}
	if r.stdout != stdout || r.stderr != stderr {
		return fmt.Errorf("want stdout %q, stderr %q (%s)", abbreviate(stdout), abbreviate(stderr), r)
	}
	return nil
}

// wantError checks that ctr failed with exactly this message. The text after
// the last colon is the status code: "not found", "unknown" and so on.
func (r ctrResult) wantError(message string) error {
	if err := r.want(1); err != nil {
		return err
	}
	if r.omitsUnknown {
		message = strings.TrimSuffix(message, ": unknown")
	}
	// Before the message ctr may log lines of its own.
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	if got, want := lines[len(lines)-1], "ctr: "+message; got != want {
		return fmt.Errorf("got error %q, want %q", got, want)
	}
	return nil
}

// task is a line of "ctr task ls".
type task struct {
	id     string
	pid    int
	status string
}

// tasks lists the namespace's tasks by id.
func (e *env) tasks(ctx context.Context) (map[string]task, error) {
	r := e.ctr(ctx, "task", "ls")
	if err := r.want(0); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	tasks := map[string]task{}
	for _, line := range lines[1:] { // the first is the heading
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("odd line %q in %s", line, r)
		}
		pid, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, fmt.Errorf("odd line %q in %s", line, r)
		}
		tasks[f[0]] = task{f[0], pid, f[2]}
	}
	return tasks, nil
}

// wantStatus checks the status of one task and returns the task.
func (e *env) wantStatus(ctx context.Context, id, status string) (task, error) {
	tasks, err := e.tasks(ctx)
	if err != nil {
		return task{}, err
	}
	t, ok := tasks[id]
	if !ok {
		return task{}, fmt.Errorf("no task %s in %v", id, tasks)
	}
	if t.status != status {
		return t, fmt.Errorf("task %s: got status %s, want %s", id, t.status, status)
	}
	return t, nil
}
