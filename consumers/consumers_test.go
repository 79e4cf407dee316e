package main

import (
	"slices"
	"testing"
)

func TestParseTests(t *testing.T) {
	got := parseTests([]byte(`{"Action":"output","Package":"p","Test":"TestA/x","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
{"Action":"build-output","ImportPath":"q","Output":"undefined\n"}
{"Action":"build-fail","ImportPath":"q"}
`))
	if want := []string{"p TestA/x", "q"}; !slices.Equal(got.failed, want) || got.passed != 1 {
		t.Errorf("got %d passed, %q failed, want 1, %q", got.passed, got.failed, want)
	}
	if want := "why\nundefined\n"; got.output != want {
		t.Errorf("got output %q, want %q", got.output, want)
	}
}

func TestUnexpected(t *testing.T) {
	got := changed([]string{"go 1.19", "a v1"}, []string{"go 1.21", "a v1"})
	if want := []string{"- go 1.19", "+ go 1.21"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	odd := unexpected(got, []string{"- go 1.19", "+ b v2"})
	if want := []string{"+ go 1.21", "no more: + b v2"}; !slices.Equal(odd, want) {
		t.Errorf("got %q, want %q", odd, want)
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose(" nri hcsshim-0.11"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := choose(""); err != nil || len(got) != len(consumers) {
		t.Errorf("the default: got %d, %v", len(got), err)
	}
	if _, err := choose("nosuch"); err == nil {
		t.Error("an unknown name: want an error")
	}
}
