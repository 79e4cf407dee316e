package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BenchmarkTrace measures a call of 128 bytes, without a trace and through one that runs
// in a process of its own and writes all lines to a file.
func BenchmarkTrace(b *testing.B) {
	dir := b.TempDir()
	target, listen := filepath.Join(dir, "s"), filepath.Join(dir, "t")
	server, err := ttrpc.NewServer()
	if err != nil {
		b.Fatal(err)
	}
	server.Register("bench.Bench", map[string]ttrpc.Method{"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
		var m wrapperspb.BytesValue
		return &m, unmarshal(&m)
	}})
	l, err := net.Listen("unix", target)
	if err != nil {
		b.Fatal(err)
	}
	go server.Serve(context.Background(), l)
	defer server.Close()
	startTrace(b, listen, target)
	b.Run("direct", func(b *testing.B) { benchmarkCalls(b, target) })
	b.Run("traced", func(b *testing.B) { benchmarkCalls(b, listen) })
}

// startTrace runs the tool in a process, until the benchmark ends.
func startTrace(b *testing.B, listen, target string) {
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	out, err := os.Create(filepath.Join(filepath.Dir(listen), "lines"))
	if err != nil {
		b.Fatal(err)
	}
	cmd := &exec.Cmd{Path: program, Args: []string{"ttrpc", "trace", listen, target}, Stdout: out, Stderr: os.Stderr}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
		out.Close()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("unix", listen); err == nil {
			conn.Close()
			return
		} else if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

func benchmarkCalls(b *testing.B, path string) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	message := &wrapperspb.BytesValue{Value: make([]byte, 128)}
	var times []time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := client.Call(context.Background(), "bench.Bench", "Echo", message, &wrapperspb.BytesValue{}); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
}
