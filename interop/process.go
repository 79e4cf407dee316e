package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a running peer. The pairing that started it owns it.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser // its end ends the peer
	lines  chan string    // from standard output; closed at its end
	stderr tail
	exited chan struct{} // closed when the process has been waited for
}

// startLimit is how long a server may take until it listens.
const startLimit = 10 * time.Second

func startProcess(program string, args ...string) (*process, error) {
	p := &process{
		cmd:    exec.Command(program, args...),
		lines:  make(chan string, 1),
		exited: make(chan struct{}),
	}
	// A group of its own, so that the peer's children go with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stderr = &p.stderr
	// Do not wait for a grandchild that has standard error open.
	p.cmd.WaitDelay = time.Second
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(stdout)
	return p, nil
}

// read passes on standard output and then waits for the process. It ends when
// the process does, and kills the children that the process leaves.
func (p *process) read(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.lines <- lines.Text()
	}
	close(p.lines)
	// Before Wait: until then the group's id is not another's.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Wait()
	close(p.exited)
}

// startServer returns when the server listens, with the address of that.
func startServer(b *build, socket string) (p *process, address string, err error) {
	if p, err = startProcess(b.program, "serve", socket); err != nil {
		return nil, "", err
	}
	select {
	case line := <-p.lines:
		if line == "ready" {
			return p, socket, nil
		}
		if address, ok := strings.CutPrefix(line, "ready "); ok {
			return p, address, nil
		}
		err = fmt.Errorf("server %s did not start: got %q", b.name, line)
	case <-time.After(startLimit):
		err = fmt.Errorf("server %s did not start within %v", b.name, startLimit)
	}
	p.kill()
	return nil, "", fmt.Errorf("%w\n%s", err, p.stderr.since(0))
}

// runCase has a client run a case. The error is the client's, or says
// that the client ended or took too long.
func (p *process) runCase(name string, limit time.Duration) error {
	if _, err := io.WriteString(p.stdin, name+"\n"); err != nil {
		return fmt.Errorf("the client is gone: %w", err)
	}
	select {
	case line, ok := <-p.lines:
		if !ok {
			return fmt.Errorf("the client crashed")
		}
		if line == "ok" {
			return nil
		}
		reason, err := strconv.Unquote(strings.TrimPrefix(line, "fail "))
		if err != nil {
			return fmt.Errorf("the client answered %q", line)
		}
		return fmt.Errorf("%s", reason)
	case <-time.After(limit):
		return errHang{limit}
	}
}

// errHang says that a case did not end in its time.
type errHang struct{ limit time.Duration }

func (e errHang) Error() string { return fmt.Sprintf("hangs: no end within %v", e.limit) }

// dump has a hung peer print its goroutines to standard error.
func (p *process) dump() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	timeout := time.After(2 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok || line == "dumped" {
				return
			}
		case <-timeout:
			return
		}
	}
}

// kill ends the process and all it started, now.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	<-p.exited
}

// killed tells, of a process that has ended, that kill did it.
func (p *process) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// A tail is a writer that keeps the last part of its input.
type tail struct {
	mu      sync.Mutex
	buf     []byte
	dropped int
}

const (
	tailSize  = 1 << 20
	tailLines = 60 // of it that are shown
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append([]byte(nil), t.buf[over:]...)
		t.dropped += over
	}
	return len(b), nil
}

func (t *tail) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped + len(t.buf)
}

// since returns the input after the first n bytes, shortened.
func (t *tail) since(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buf
	if n -= t.dropped; n > 0 {
		b = b[n:]
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if len(lines) > tailLines {
		more := fmt.Sprintf("(%d more lines)", len(lines)-tailLines)
		lines = append(lines[:tailLines:tailLines], []byte(more))
	}
	return string(bytes.Join(lines, []byte("\n")))
}
