package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// tests is the outcome of a "go test -json".
type tests struct {
	passed int
	failed []string // "package Test", or the package alone if it did not build
	output string   // of the tests that failed
}

// parseTests reads the events of go test. Of a test that failed with its subtests
// the subtests alone are listed.
func parseTests(events []byte) tests {
	var t tests
	output := map[string]string{}
	lines := json.NewDecoder(bytes.NewReader(events))
	for {
		var e struct{ Action, Package, ImportPath, Test, Output string }
		if lines.Decode(&e) != nil {
			return t
		}
		name := strings.TrimSpace(e.Package + e.ImportPath + " " + e.Test)
		switch e.Action {
		case "output", "build-output":
			output[name] += e.Output
		case "pass":
			if e.Test != "" {
				t.passed++
			}
		case "fail", "build-fail":
			if !t.parentOfFailed(name) {
				t.failed = append(t.failed, name)
				t.output += output[name]
			}
		}
	}
}

func (t tests) parentOfFailed(name string) bool {
	for _, failed := range t.failed {
		if strings.HasPrefix(failed, name+"/") || strings.HasPrefix(failed, name+" ") {
			return true
		}
	}
	return false
}
