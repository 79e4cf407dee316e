package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// moduleLines reads the lines of a go.mod or go.sum without their indentation.
func moduleLines(dir, name string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// changed lists the lines that are in one only, "- " before those of before.
func changed(before, after []string) []string {
	var lines []string
	for _, line := range before {
		if !slices.Contains(after, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return lines
}

// unexpected lists the differences between the changes there are and those that a
// consumer's entry names.
func unexpected(got, want []string) []string {
	var lines []string
	for _, line := range got {
		if !slices.Contains(want, line) {
			lines = append(lines, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			lines = append(lines, "no more: "+line)
		}
	}
	return lines
}
