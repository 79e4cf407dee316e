package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Kinds of job.
const (
	kindSteps  = "steps"
	kindMemory = "memory"
	kindChaos  = "chaos"
)

// The outer process starts itself as "init" in new mount and PID namespaces.
// init mounts the private directories and starts "drive", which runs the steps.
// When init ends the kernel kills every process of the namespace and drops its
// mounts, after any step, and even if the outer process is killed. Cgroups and the
// temporary directory remain to be cleaned.
const (
	roleInit  = "init"
	roleDrive = "drive"
)

const (
	// containerdRun is where containerd's shims put their sockets and runc its
	// state; the shim has it compiled in. Each job gets a tmpfs there.
	containerdRun = "/run/containerd"

	cgroupRoot = "/sys/fs/cgroup"

	// tempPrefix starts the names of our temporary directories and cgroups.
	tempPrefix = "ttrpc-e2e-"
)

// job is the file that the outer process hands to the driver in the namespaces. Dir holds the job, its result and the logs; the driver mounts a tmpfs
// on Dir/run, so that everything else it writes is gone when it ends.
type job struct {
	Kind      string
	Pairing   pairing
	Tools     tools
	Dir       string
	Namespace string       // containerd namespace, and so the cgroup parent
	Run       string       // kindSteps: regular expression on step names
	Execs     int          // kindMemory
	Chaos     chaosOptions // kindChaos
}

// result is the driver's answer.
type result struct {
	Pairing pairing
	Steps   []stepResult
	Memory  *memorySample `json:",omitempty"`
	Ledger  string        `json:",omitempty"` // of chaos, as it is printed
	Err     string        // why the job could not run, or things that it left behind
}

// stepResult is one row of one pairing.
type stepResult struct {
	Name string
	Time time.Duration
	Note string
	Err  string
	Ran  bool
}

// failures names the steps that failed. The errors were printed when they
// happened.
func (r result) failures() string {
	var bad []string
	for _, s := range r.Steps {
		if s.Err != "" {
			bad = append(bad, strconv.Quote(s.Name)+" failed")
		}
	}
	if r.Err != "" {
		bad = append(bad, r.Err)
	}
	return strings.Join(bad, "; ")
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
