package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// stepTrace puts the tool's trace between a shim, which sends its events, and the daemon,
// for the life of a container. The timeline of the trace must have the calls, and the socket
// must be back afterwards.
func stepTrace(ctx context.Context, e *env) (string, error) {
	socket, timeline := e.socket()+".ttrpc", filepath.Join(e.dir, "timeline.json")
	stop, err := e.startTrace(ctx, socket, timeline)
	if err != nil {
		return "", err
	}
	_, err = e.start(ctx, "traced", "sleep", "1000")
	if err == nil {
		err = e.killAndRemove(ctx, "traced")
	}
	if err := errors.Join(err, stop()); err != nil {
		return "", err
	}
	if _, err := os.Lstat(socket + ".ttrpc-trace"); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the socket of the daemon is not put back: %v", err)
	}
	calls, err := checkTimeline(timeline)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d events of the shim", calls), nil
}

// startTrace starts the tool's trace in place of a socket, and returns when it listens. The
// function that it returns ends the trace as a user would.
func (e *env) startTrace(ctx context.Context, socket, timeline string) (stop func() error, err error) {
	log, err := os.OpenFile(e.logPath("trace.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, e.job.Tools.TTRPC, "trace", "-takeover", socket, "-payload", "-o", "perfetto", timeline)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			return err
		}
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("ttrpc trace: %w; see trace.log", err)
		}
		return nil
	}
	err = until(ctx, "the trace to listen", func() (bool, error) {
		// First the server's socket is linked there, then the trace's takes its place.
		theirs, err := os.Lstat(socket + ".ttrpc-trace")
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		ours, err := os.Lstat(socket)
		return err == nil && !os.SameFile(ours, theirs), err
	})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// checkTimeline reads a timeline, in Chrome's format of trace events, and returns the number
// of calls by which the shim has sent events. Each must have begun and ended well, and
// nothing may have broken the protocol.
func checkTimeline(name string) (calls int, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	var events []struct {
		Name, Cat, Ph, ID string
		TS                float64
		Args              struct{ Code, Violation string }
	}
	if err := json.Unmarshal(text, &events); err != nil {
		return 0, fmt.Errorf("the timeline: %w", err)
	}
	begun := make(map[string]float64)
	for _, ev := range events {
		switch {
		case ev.Args.Violation != "":
			return 0, fmt.Errorf("the timeline has a violation: %+v", ev)
		case ev.Cat != "call" || !strings.HasSuffix(ev.Name, "Events/Forward"):
		case ev.Ph == "b":
			begun[ev.ID] = ev.TS
		case ev.Ph == "e":
			start, ok := begun[ev.ID]
			if !ok || ev.TS < start || ev.Args.Code != "OK" {
				return 0, fmt.Errorf("the timeline has a bad end of a call: %+v, begun at %v, %v", ev, start, ok)
			}
			calls++
		}
	}
	// The shim tells of the container's creation, start and exit at least.
	if calls < 3 || calls != len(begun) {
		return 0, fmt.Errorf("the timeline has the beginning of %d calls and the end of %d, want at least 3 of both", len(begun), calls)
	}
	return calls, nil
}
