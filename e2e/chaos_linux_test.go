package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestLimitDescriptors(t *testing.T) {
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Skip(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	limit := func() string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", child.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "Max open files")
		return strings.Fields(after)[0]
	}
	first := limit()
	before, err := limitDescriptors(child.Process.Pid, 9)
	if err != nil || fmt.Sprint(before) != first || limit() != "9" {
		t.Errorf("got %d, %v and then %s, want %s and 9", before, err, limit(), first)
	}
	before, err = limitDescriptors(child.Process.Pid, before)
	if err != nil || before != 9 || limit() != first {
		t.Errorf("got %d, %v and then %s, want 9 and %s", before, err, limit(), first)
	}
}
