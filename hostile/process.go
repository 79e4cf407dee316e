package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a victim or an attacker. The run that started it owns it.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser // its end ends the process
	lines  chan string    // of standard output; closed when the process has ended
	stderr logMeter
}

func startProcess(program string, args ...string) (*process, error) {
	return startCommand(exec.Command(program, args...))
}

// nobody is the user id of attackers, where the driver may choose one: limits for each
// user id are to hold the attacker and not the innocent.
const nobody = 65534

// startAttacker starts this program again, from a copy in dir that others may execute.
func startAttacker(dir string, args ...string) (*process, error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "attacker")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, append([]string{"attack"}, args...)...)
	cmd.Dir = dir
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return startCommand(cmd)
}

func startCommand(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, lines: make(chan string, 1)}
	p.cmd.Stderr = &p.stderr
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
	go func() { // ends with the process
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.lines <- lines.Text()
		}
		_ = p.cmd.Wait()
		close(p.lines)
	}()
	return p, nil
}

var errDied = errors.New("died")

// line is the next line of standard output.
func (p *process) line(limit time.Duration) (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", errDied
		}
		return line, nil
	case <-time.After(limit):
		return "", fmt.Errorf("says nothing for %v", limit)
	}
}

// kill ends the process, now.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
}

// figures are the report of a victim on itself: see victim/main.go.
type figures struct {
	Heap       uint64
	Goroutines int
	Calls      int
	P99        time.Duration
	Overrun    time.Duration
	Close      time.Duration
}

// ask has a victim do something and report.
func (p *process) ask(command string, limit time.Duration) (f figures, err error) {
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		return f, errDied
	}
	line, err := p.line(limit)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal([]byte(line), &f)
}

// peakRSS is the most memory that the process had resident, in MiB.
func (p *process) peakRSS() int { return p.status("VmHWM") >> 10 }

// status is a number in /proc/PID/status; 0 when the process is gone.
func (p *process) status(name string) int {
	b, _ := os.ReadFile(p.proc("status"))
	_, after, _ := bytes.Cut(b, []byte("\n"+name+":"))
	fields := strings.Fields(string(after[:min(len(after), 40)]))
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

func (p *process) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name)
}

// A sampler takes the peaks of a process for which the kernel keeps none.
type sampler struct {
	stop, stopped        chan struct{}
	threads, descriptors int
}

// sample goes on until end.
func (p *process) sample() *sampler {
	s := &sampler{stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(s.stopped)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			s.threads = max(s.threads, p.status("Threads"))
			if fds, err := os.ReadDir(p.proc("fd")); err == nil {
				s.descriptors = max(s.descriptors, len(fds))
			}
			select {
			case <-tick.C:
			case <-s.stop:
				tick.Stop()
				return
			}
		}
	}()
	return s
}

func (s *sampler) end() {
	close(s.stop)
	<-s.stopped
}

// A logMeter counts the log of a process and keeps its beginning and its end.
type logMeter struct {
	mu          sync.Mutex
	n           int
	escapes     int // bytes that would control a terminal
	first, last []byte
}

const logKept = 2000

func (l *logMeter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += len(b)
	l.escapes += bytes.Count(b, []byte{0x1b})
	l.first = append(l.first, b[:min(len(b), logKept-len(l.first))]...)
	l.last = append(l.last, b[max(0, len(b)-logKept):]...)
	l.last = append([]byte(nil), l.last[max(0, len(l.last)-logKept):]...)
	return len(b), nil
}

func (l *logMeter) counts() (bytes, escapes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n, l.escapes
}

func (l *logMeter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%q … %q", l.first, l.last)
}
