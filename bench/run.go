package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/ttrpc/bench/workload"
)

// errTimeLimit means that a peer did not finish a case and was killed.
var errTimeLimit = errors.New("no answer within the time limit")

// timeLimit is how long a client may take for a case, beyond its measured time.
func timeLimit(c workload.Case) time.Duration {
	if n := c.Held(); n > 0 {
		return 30*time.Second + time.Duration(n)*10*time.Millisecond
	}
	return 3*(c.Warmup+c.Measure) + 10*time.Second
}

// runLoad runs one case in one server and one client process.
func runLoad(ctx context.Context, p peer, c benchCase, profile string) (workload.Result, error) {
	var res workload.Result
	dir, err := os.MkdirTemp("", "ttrpc-bench")
	if err != nil {
		return res, err
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "s")
	server, err := startServer(ctx, p, c, addr, profile)
	var unsupported *workload.UnsupportedError
	if errors.As(err, &unsupported) {
		return workload.Result{Unsupported: unsupported.Reason}, nil
	}
	if err != nil {
		return res, err
	}
	defer server.stop()

	what, err := json.Marshal(c.load)
	if err != nil {
		return res, err
	}
	limit, cancel := context.WithTimeout(ctx, timeLimit(c.load))
	defer cancel()
	client := measured(limit, p.load, "client", "-addr", addr, "-case", string(what), "-profile", profilePath(profile, p, c, "client"))
	var stdout, stderr bytes.Buffer
	client.Stdout, client.Stderr = &stdout, &stderr
	err = client.Run()
	if ctx.Err() == nil && limit.Err() != nil {
		return res, fmt.Errorf("%w, %v", errTimeLimit, timeLimit(c.load))
	}
	if err != nil {
		return res, fmt.Errorf("client: %w: %s", err, firstLine(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &res); err != nil {
		return res, fmt.Errorf("client's result: %w", err)
	}
	return res, nil
}

// server is a running server process.
type server struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer
}

func startServer(ctx context.Context, p peer, c benchCase, addr, profile string) (*server, error) {
	options, err := json.Marshal(c.load.Options)
	if err != nil {
		return nil, err
	}
	s := &server{cmd: measured(ctx, p.load, "server", "-addr", addr, "-options", string(options),
		"-profile", profilePath(profile, p, c, "server"))}
	s.cmd.Stderr = &s.stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.stdin = stdin
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if reason, ok := strings.CutPrefix(strings.TrimSpace(line), workload.ServerCannot); ok {
		s.stop()
		return nil, workload.Unsupported(reason)
	}
	if err != nil || strings.TrimSpace(line) != workload.Ready {
		s.stop()
		return nil, fmt.Errorf("server did not get ready: %s", firstLine(s.stderr.String()))
	}
	return s, nil
}

// stop ends the server, which exits when its standard input does.
func (s *server) stop() {
	s.stdin.Close()
	kill := time.AfterFunc(2*time.Second, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	s.cmd.Wait()
}

// runTiny measures the one-method server: its size, or its memory when it has
// listened for a while.
func runTiny(ctx context.Context, p peer, c benchCase) (workload.Result, error) {
	if c.name == "size" {
		info, err := os.Stat(p.tiny)
		if err != nil {
			return workload.Result{}, err
		}
		return workload.Result{Bytes: info.Size()}, nil
	}
	dir, err := os.MkdirTemp("", "ttrpc-bench")
	if err != nil {
		return workload.Result{}, err
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "s")
	cmd := exec.CommandContext(ctx, p.tiny, addr)
	if err := cmd.Start(); err != nil {
		return workload.Result{}, err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(addr); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return workload.Result{}, errTimeLimit
		}
	}
	time.Sleep(300 * time.Millisecond)
	measure := workload.RSS
	if c.name == "startup-anonymous" {
		measure = workload.Anonymous
	}
	n, err := measure(cmd.Process.Pid)
	return workload.Result{Bytes: n}, err
}

func profilePath(dir string, p peer, c benchCase, side string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, fmt.Sprintf("%s-%s-%s.pprof", strings.ReplaceAll(p.name, "/", "_"), c.name, side))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
