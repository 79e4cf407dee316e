package main

import "testing"

func TestProgram(t *testing.T) {
	if err := run(); err != nil {
		t.Fatal(err)
	}
}
