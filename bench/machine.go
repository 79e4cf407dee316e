package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is where the figures were taken.
type machine struct {
	CPU    string
	Cores  int
	Memory string
	Kernel string
	Go     string
}

func thisMachine() machine {
	m := machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), Memory: "?", Kernel: runtime.GOOS, Go: runtime.Version()}
	if v, ok := field("/proc/cpuinfo", "model name"); ok {
		m.CPU = v
	}
	if v, ok := field("/proc/meminfo", "MemTotal"); ok {
		var kb int64
		if _, err := fmt.Sscanf(v, "%d kB", &kb); err == nil {
			m.Memory = fmt.Sprintf("%d GiB", (kb+1<<19)>>20)
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		version, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
		m.Kernel = "Linux " + version
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s, %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go)
}

// field returns the value of the first "key : value" line of a file.
func field(path, key string) (string, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	for line := range bytes.Lines(b) {
		k, v, ok := bytes.Cut(line, []byte(":"))
		if ok && string(bytes.TrimSpace(k)) == key {
			return string(bytes.TrimSpace(v)), true
		}
	}
	return "", false
}
