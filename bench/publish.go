package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// publish prints the tables and the goals, and writes them and the charts into a
// directory.
func (r *report) publish(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var all, summary bytes.Buffer
	r.writeTables(&all)
	r.writeGoals(&all)
	r.writeSummary(&summary)
	if err := os.WriteFile(filepath.Join(dir, "table.md"), all.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "summary.md"), summary.Bytes(), 0o644); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(all.Bytes()); err != nil {
		return err
	}
	for _, c := range r.charts() {
		path := filepath.Join(dir, c.file)
		if err := os.WriteFile(path, c.svg(), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "wrote", path)
	}
	return nil
}
