//go:build unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const keepaliveChildEnv = "TTRPC_TEST_KEEPALIVE_CHILD"

// A stopped process is noticed within Interval and Timeout, with and without calls. A
// process that idles, or works on a call, does not count as dead.
func TestKeepaliveStoppedProcess(t *testing.T) {
	k := Keepalive{Interval: 200 * time.Millisecond, Timeout: 300 * time.Millisecond, Idle: true}
	addr, child := startKeepaliveChild(t)
	closed := make(chan struct{})
	c := dialTest(t, addr, WithClientKeepalive(k), WithOnClose(func() { close(closed) }))
	ctx := testContext(t)
	if err := echo(ctx, c, "x"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * (k.Interval + k.Timeout))
	if err := c.Err(); err != nil {
		t.Fatalf("an idle server counts as dead: %v", err)
	}
	blocked := goErr(func() error { return c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{}) })
	for start := time.Now(); time.Since(start) < 2*(k.Interval+k.Timeout); {
		if err := echo(ctx, c, "x"); err != nil {
			t.Fatalf("a busy server: %v", err)
		}
	}
	time.Sleep(2 * (k.Interval + k.Timeout))
	if err := c.Err(); err != nil {
		t.Fatalf("a server with a call counts as dead: %v", err)
	}
	late := measureLateness()
	start := time.Now()
	if err := child.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "a server that is stopped", blocked); err != ErrClosed {
		t.Errorf("the call got %v, want ErrClosed", err)
	}
	took := time.Since(start)
	t.Logf("noticed after %v", took)
	if limit := k.Interval + k.Timeout + k.Timeout/2 + late(); took > limit { // the machine may be busy
		t.Errorf("noticed after %v, want at most %v", took, limit)
	}
	within(t, "OnClose", closed)
	if err := c.Err(); !errors.Is(err, errPeerSilent) {
		t.Errorf("Err is %v", err)
	}
}

// measureLateness measures the total lateness of timers until the returned function is
// called, which returns it.
func measureLateness() func() time.Duration {
	const tick = 10 * time.Millisecond
	stop, total := make(chan struct{}), make(chan time.Duration)
	go func() {
		var sum time.Duration
		for {
			start := time.Now()
			select {
			case <-time.After(tick):
				sum += time.Since(start) - tick
			case <-stop:
				total <- sum
				return
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-total
	}
}

// startKeepaliveChild starts a server in a child process, which ends with the test.
func startKeepaliveChild(t *testing.T) (addr string, child *os.Process) {
	t.Helper()
	addr = filepath.Join(t.TempDir(), "s")
	cmd := childTest(context.Background(), "TestKeepaliveChild")
	cmd.Env = append(os.Environ(), keepaliveChildEnv+"="+addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatalf("the child does not serve: %v", err)
	}
	return addr, cmd.Process
}

// TestKeepaliveChild is the server of TestKeepaliveStoppedProcess.
func TestKeepaliveChild(t *testing.T) {
	addr := os.Getenv(keepaliveChildEnv)
	if addr == "" {
		t.Skip("for TestKeepaliveStoppedProcess alone")
	}
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, echoMethods())
	os.Stdout.WriteString("+")
	s.Serve(context.Background(), l) // until it is killed
}
