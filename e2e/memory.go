package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memorySample has the figures of one daemon with one container.
type memorySample struct {
	ShimIdle, ShimAfter     processMemory // one container; the same after the execs
	DaemonIdle, DaemonAfter processMemory
	Before, After           footprint // of the daemon
	Execs                   int       // 0 when this round had none
	ShimCPU, DaemonCPU      int       // milliseconds that the execs took
}

// processMemory is in KiB, from /proc/PID/status.
type processMemory struct {
	RSS  int
	Anon int // the part that is no file: heap and stacks
}

// memoryReport measures ours against stock, both of the same containerd.
func memoryReport(ctx context.Context, o options, t tools) (string, error) {
	samples := map[string][]memorySample{}
	order := []string{stock, ours}
	fmt.Printf("\nmemory: %d rounds, %d execs in the last\n", o.rounds, o.execs)
	for round := range o.rounds {
		for _, variant := range order {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			j := job{Kind: kindMemory, Pairing: pairing{variant, variant}, Tools: t}
			if round == o.rounds-1 {
				j.Execs = o.execs
			}
			r := runJob(ctx, o, j, "memory-"+variant)
			if r.Err != "" {
				return "", fmt.Errorf("%s: %s", variant, r.Err)
			}
			samples[variant] = append(samples[variant], *r.Memory)
			fmt.Printf("  %s: shim %d KiB, daemon %s\n", variant, r.Memory.ShimIdle.RSS, r.Memory.Before)
		}
	}
	return memoryTable(samples[stock], samples[ours], t)
}

// memoryTable has medians over the rounds, and the last round for the figures
// after the execs.
func memoryTable(stockSamples, ourSamples []memorySample, t tools) (string, error) {
	last := len(stockSamples) - 1
	execs := stockSamples[last].Execs
	after := fmt.Sprintf(" after %d execs", execs)
	rows := [][]string{{"memory", stock, ours, "ratio"}}
	add := func(name, unit string, value func([]memorySample) int) {
		a, b := value(stockSamples), value(ourSamples)
		rows = append(rows, []string{name,
			fmt.Sprintf("%d%s", a, unit), fmt.Sprintf("%d%s", b, unit),
			fmt.Sprintf("%.3f", float64(b)/float64(a))})
	}
	middle := func(field func(memorySample) int) func([]memorySample) int {
		return func(s []memorySample) int { return median(s, field) }
	}
	final := func(field func(memorySample) int) func([]memorySample) int {
		return func(s []memorySample) int { return field(s[last]) }
	}
	add("shim RSS, one idle container", " KiB", middle(func(m memorySample) int { return m.ShimIdle.RSS }))
	add("shim RSS"+after, " KiB", final(func(m memorySample) int { return m.ShimAfter.RSS }))
	add("shim anonymous, one idle container", " KiB", middle(func(m memorySample) int { return m.ShimIdle.Anon }))
	add("shim anonymous"+after, " KiB", final(func(m memorySample) int { return m.ShimAfter.Anon }))
	add("daemon RSS, one idle container", " KiB", middle(func(m memorySample) int { return m.DaemonIdle.RSS }))
	add("daemon RSS"+after, " KiB", final(func(m memorySample) int { return m.DaemonAfter.RSS }))
	add("daemon descriptors before", "", final(func(m memorySample) int { return m.Before.Descriptors }))
	add("daemon descriptors"+after, "", final(func(m memorySample) int { return m.After.Descriptors }))
	add("daemon goroutines before", "", final(func(m memorySample) int { return m.Before.Goroutines }))
	add("daemon goroutines"+after, "", final(func(m memorySample) int { return m.After.Goroutines }))
	add(fmt.Sprintf("shim CPU, %d execs", execs), " ms", final(func(m memorySample) int { return m.ShimCPU }))
	add(fmt.Sprintf("daemon CPU, %d execs", execs), " ms", final(func(m memorySample) int { return m.DaemonCPU }))
	for _, program := range consumers {
		var sizes [2]int64
		for i, variant := range []string{stock, ours} {
			info, err := os.Stat(filepath.Join(t.Bin[variant], program))
			if err != nil {
				return "", err
			}
			sizes[i] = info.Size()
		}
		rows = append(rows, []string{program + ", stripped",
			fmt.Sprintf("%d B", sizes[0]), fmt.Sprintf("%d B", sizes[1]),
			fmt.Sprintf("%.3f", float64(sizes[1])/float64(sizes[0]))})
	}
	return markdown(rows), nil
}

func median(samples []memorySample, field func(memorySample) int) int {
	values := make([]int, 0, len(samples))
	for _, s := range samples {
		values = append(values, field(s))
	}
	slices.SortFunc(values, cmp.Compare)
	return values[len(values)/2]
}

// runMemory is the driver's part: one round of one variant.
func (e *env) runMemory(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	m, err := e.measure(ctx)
	r := result{Memory: &m}
	if err != nil {
		e.dumpStacks("memory")
		r.Err = err.Error()
	}
	return r
}

func (e *env) measure(ctx context.Context) (memorySample, error) {
	m := memorySample{Execs: e.job.Execs}
	if err := e.writeConfig("info"); err != nil {
		return m, err
	}
	if err := e.startDaemon(ctx); err != nil {
		return m, err
	}
	t, err := e.start(ctx, "memory", "sleep", "1000000")
	if err != nil {
		return m, err
	}
	shim, err := e.shimOf(t)
	if err != nil {
		return m, err
	}
	both := func(inShim, inDaemon *processMemory, f *footprint) error {
		// Let garbage collection and closing connections come to rest.
		time.Sleep(2 * time.Second)
		var err error
		if *inShim, err = memoryOf(shim); err != nil {
			return err
		}
		if *inDaemon, err = memoryOf(e.daemon.cmd.Process.Pid); err != nil {
			return err
		}
		*f, err = e.footprint(ctx)
		return err
	}
	if err := both(&m.ShimIdle, &m.DaemonIdle, &m.Before); err != nil {
		return m, err
	}
	if m.Execs > 0 {
		if err := e.measureExecs(ctx, shim, &m); err != nil {
			return m, err
		}
		if err := both(&m.ShimAfter, &m.DaemonAfter, &m.After); err != nil {
			return m, err
		}
	}
	if err := e.killAndRemove(ctx, "memory"); err != nil {
		return m, err
	}
	_, err = stepStop(ctx, e)
	return m, err
}

// measureExecs runs the execs and adds the CPU time that daemon and shim took.
// Wall time would tell more of the machine, and of runc.
func (e *env) measureExecs(ctx context.Context, shim int, m *memorySample) error {
	cpu := func(sign int) error {
		for pid, sum := range map[int]*int{shim: &m.ShimCPU, e.daemon.cmd.Process.Pid: &m.DaemonCPU} {
			ms, err := cpuOf(pid)
			if err != nil {
				return err
			}
			*sum += sign * ms
		}
		return nil
	}
	if err := cpu(-1); err != nil {
		return err
	}
	if err := e.execMany(ctx, m.Execs); err != nil {
		return err
	}
	return cpu(+1)
}

// execMany runs n execs, four at a time.
func (e *env) execMany(ctx context.Context, n int) error {
	const workers = 4
	return parallel(workers, func(w int) error {
		for i := w; i < n; i += workers {
			code := i % 256
			r := e.exec(ctx, "memory", fmt.Sprint("exec-", i), "sh", "-c", "exit "+strconv.Itoa(code))
			if err := r.wantOutput(code, "", ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// cpuOf returns the CPU time of a process so far, in milliseconds.
func cpuOf(pid int) (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; fields 14 and 15 are user
	// and system time in ticks of a hundredth of a second.
	_, after, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0, fmt.Errorf("odd /proc/%d/stat: %q", pid, stat)
	}
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return (user + system) * 10, err
}

func memoryOf(pid int) (processMemory, error) {
	var m processMemory
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "VmRSS:":
			m.RSS, err = strconv.Atoi(f[1])
		case "RssAnon:":
			m.Anon, err = strconv.Atoi(f[1])
		}
		if err != nil {
			return m, fmt.Errorf("%q: %w", line, err)
		}
	}
	if m.RSS == 0 || m.Anon == 0 {
		return m, errors.New("no memory figures of process " + strconv.Itoa(pid))
	}
	return m, nil
}
