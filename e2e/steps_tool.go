package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// buildTool builds the command-line tool of this checkout.
func buildTool(ctx context.Context, o options) (path string, err error) {
	path, err = filepath.Abs(filepath.Join(o.build, "ttrpc"))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "nice", "-n", "10", "go", "build", "-p", "2", "-o", path, ".")
	cmd.Dir = filepath.Join("..", "cmd", "ttrpc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/ttrpc: %w\n%s", err, out)
	}
	return path, nil
}

// tool runs cmd/ttrpc, and returns its output if it ends well.
func (e *env) tool(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, e.job.Tools.TTRPC, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ttrpc %s: %w: %s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// shimAddress returns the address of a container's shim, from its bundle.
func (e *env) shimAddress(id string) (string, error) {
	bundle := filepath.Join(e.stateDir(), "io.containerd.runtime.v2.task", e.job.Namespace, id)
	address, err := os.ReadFile(filepath.Join(bundle, "address"))
	if !errors.Is(err, fs.ErrNotExist) {
		return strings.TrimSpace(string(address)), err
	}
	var params struct{ Address string } // of containerd 2
	err = readJSON(filepath.Join(bundle, "bootstrap.json"), &params)
	return params.Address, err
}

// stepTool calls a shim with cmd/ttrpc, without any files: the shim has no reflection, so
// the types are the tool's own.
func stepTool(ctx context.Context, e *env) (string, error) {
	t, err := e.start(ctx, "tool", "sleep", "1000")
	if err != nil {
		return "", err
	}
	address, err := e.shimAddress("tool")
	if err != nil {
		return "", err
	}
	services, err := e.tool(ctx, "list", address)
	if err != nil {
		return "", err
	}
	service := "containerd.task.v2.Task"
	if !slices.Contains(strings.Fields(services), service) {
		service = "containerd.task.v3.Task"
	}
	call := func(method string, answer any) error {
		out, err := e.tool(ctx, "call", "-timeout", "30s", address, service+"/"+method, `{"id": "tool"}`)
		if err == nil {
			err = json.Unmarshal([]byte(out), answer)
		}
		return err
	}
	if err := checkTask(call, t.pid); err != nil {
		return "", err
	}
	_, err = e.tool(ctx, "call", address, service+"/State", `{"id": "nosuch"}`)
	if err == nil || !strings.Contains(err.Error(), "ttrpc: NotFound: ") {
		return "", fmt.Errorf("the state of no container: got %v, want NotFound", err)
	}
	return service, e.killAndRemove(ctx, "tool")
}

// checkTask checks the answers of four methods about a container with one process.
func checkTask(call func(method string, answer any) error, pid int) error {
	var state struct {
		ID, Status string
		Pid        int
	}
	if err := call("State", &state); err != nil {
		return err
	}
	if state.ID != "tool" || state.Status != "RUNNING" || state.Pid != pid {
		return fmt.Errorf("got the state %+v, want that of process %d", state, pid)
	}
	var pids struct{ Processes []struct{ Pid int } }
	if err := call("Pids", &pids); err != nil {
		return err
	}
	if len(pids.Processes) != 1 || pids.Processes[0].Pid != pid {
		return fmt.Errorf("got the processes %+v, want %d", pids, pid)
	}
	var connect struct{ ShimPid, TaskPid int }
	if err := call("Connect", &connect); err != nil {
		return err
	}
	if connect.ShimPid == 0 || connect.TaskPid != pid {
		return fmt.Errorf("got %+v from Connect, want the process %d", connect, pid)
	}
	var stats struct {
		Stats struct {
			Type string `json:"@type"`
			Pids struct{ Current string }
		}
	}
	if err := call("Stats", &stats); err != nil {
		return err
	}
	if !strings.HasPrefix(stats.Stats.Type, "io.containerd.cgroups.v") || stats.Stats.Pids.Current == "" {
		return fmt.Errorf("got the metrics %+v", stats)
	}
	return nil
}
