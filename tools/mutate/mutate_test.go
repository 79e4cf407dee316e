package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerdicts(t *testing.T) {
	mutants, err := find("testdata/pkg", regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	results, err := runOptions{jobs: 2, timeout: 5 * time.Second}.run(context.Background(), "testdata/pkg", mutants, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{killed: "killed", survived: "survived", invalid: "invalid"}
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprintf("%s: %v", names[r.verdict], r.mutant))
	}
	want := []string{
		"killed: pkg.go:8: Sum: negate: n >= least",
		"killed: pkg.go:8: Sum: put > in: n >= least",
		"killed: pkg.go:9: Sum: drop assignment: sum += n",
		"survived: pkg.go:17: Count: negate: n > 0",
		"survived: pkg.go:17: Count: put >= in: n > 0",
		"killed: pkg.go:18: Count: drop increment: n--",
		"survived: pkg.go:24: Unguarded: drop increment: *calls++",
		"killed: pkg.go:29: Last: negate: ok && !false",
		"survived: pkg.go:29: Last: put || in: ok && !false",
		"invalid: pkg.go:32: Last: drop call: panic(\"last\")",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// copyPackage returns a copy of testdata/pkg with one more file of tests.
func copyPackage(t *testing.T, tests string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/pkg")); err != nil {
		t.Fatal(err)
	}
	text := "package pkg\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n" + tests
	if err := os.WriteFile(filepath.Join(dir, "more_test.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFailingOriginal(t *testing.T) {
	dir := copyPackage(t, "func TestFails(t *testing.T) { _ = os.Args; t.Fail() }\n")
	_, err := runOptions{jobs: 1}.run(context.Background(), dir, nil, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "tests of the original fail") || !strings.Contains(err.Error(), "TestFails") {
		t.Errorf("got %v", err)
	}
}

// A mutant survives a test that fails once, and is killed by one that fails again.
func TestFailsTwice(t *testing.T) {
	mutants, err := find("testdata/pkg", regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return m.function != "Unguarded" })
	for fails, want := range map[string]verdict{"": survived, "1": survived, "11": killed} {
		dir := copyPackage(t, `func TestFailsSomeTimes(t *testing.T) {
	Unguarded(new(int))
	name := "fails"
	text, _ := os.ReadFile(name)
	if os.Getenv("MUTATE_ACTIVE") != "" && len(text) > 0 {
		os.WriteFile(name, text[1:], 0o600)
		t.Fail()
	}
}
`)
		if err := os.WriteFile(filepath.Join(dir, "fails"), []byte(fails), 0o600); err != nil {
			t.Fatal(err)
		}
		results, err := runOptions{jobs: 1}.run(context.Background(), dir, mutants, new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		if r := results[0]; r.verdict != want || r.reached != 2 {
			t.Errorf("%d failures: got %v", len(fails), r)
		}
	}
}

func TestScore(t *testing.T) {
	results := []result{
		{mutant: mutant{file: "a.go"}, verdict: killed},
		{mutant: mutant{file: "b.go"}, verdict: survived},
		{mutant: mutant{file: "b.go"}, verdict: invalid},
	}
	var out bytes.Buffer
	if err := report(&out, results, 50, time.Second); err != nil {
		t.Error(err)
	}
	want := "100.0 %    1 of   1 killed  a.go\n  0.0 %    0 of   1 killed  b.go\n 50.0 %  1 of 2 killed, 1 do not compile, in 1s\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if report(&out, results, 51, time.Second) == nil {
		t.Error("no error below the least score")
	}
}

// A sample stays the same while other mutants come and go, and is another one for another
// seed.
func TestSample(t *testing.T) {
	var few, many []mutant
	for i := 0; i < 1000; i++ {
		m := mutant{file: "a.go", function: fmt.Sprint(i), start: i}
		many = append(many, m)
		if i%100 != 0 {
			few = append(few, m)
		}
	}
	first := pick(slices.Clone(many), 20, 1)
	if len(first) != 20 || !slices.IsSortedFunc(first, mutant.compare) {
		t.Errorf("the sample is %v", first)
	}
	both := func(sample []mutant) (n int) {
		for _, m := range sample {
			if slices.Contains(first, m) {
				n++
			}
		}
		return n
	}
	if n := both(pick(few, 20, 1)); n < 15 {
		t.Errorf("of 20 mutants %d stay when a hundredth of all has gone", n)
	}
	if n := both(pick(many, 20, 2)); n > 10 {
		t.Errorf("with another seed %d of 20 mutants are the same", n)
	}
}

// Two mutants of a function with the same text have names of their own.
func TestSameTextTwice(t *testing.T) {
	source := "package p\n\nfunc f(a int) {\n\ta++\n\ta++\n\ta++\n}\n"
	mutants, err := mutate("p.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mutants {
		got = append(got, m.key())
	}
	want := []string{"f: drop increment: a++", "f: drop increment: a++ (2)", "f: drop increment: a++ (3)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The source with all mutants keeps its lines. Statements where the language allows no if
// and constants have no mutants.
func TestRender(t *testing.T) {
	const source = `package p

func f(a, b int, c chan int) bool {
	const less = 1 < 2
	for a = 0; a < 3; a++ { // up
		c <- a
	}
	select {
	case b = <-c:
	default:
	}
	return (a == 1 ||
		b>=2) && less
}
`
	const want = `package p

func f(a, b int, c chan int) bool {
	const less = 1 < 2
	for a = 0; ((mutateLess(2, a /*<*/, 3)) != mutated(1)); a++ { // up
		if !mutated(3) { c <- a }
	}
	select {
	case b = <-c:
	default:
	}
	return (((((((((a == 1) != mutated(6))) != mutated(5) ||
		(mutateGreaterOrEqual(7, b/*>=*/,2)) != mutated(5)) != mutated(5)))) != mutated(4) && (less) != mutated(4)) != mutated(4))
}
`
	mutants, err := mutate("p.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	s := schemata{mutants: mutants, invalid: make([]bool, len(mutants))}
	if got := s.render("p.go", source); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for i := range s.invalid {
		s.invalid[i] = true
	}
	if got := s.render("p.go", source); got != source {
		t.Errorf("without mutants: got:\n%s\nwant:\n%s", got, source)
	}
}

func TestEquivalent(t *testing.T) {
	mutants, err := find("testdata/pkg", regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, list, err string }{
		{"listed", "pkg.go: Unguarded: drop increment: *calls++\n\tNobody reads it.\n", ""},
		{"stale", "pkg.go: Gone: drop increment: x++\n\tIt was so.\n", "no such mutant"},
		{"stale elsewhere", "other.go: Gone: drop increment: x++\n\tIt was so.\n", ""},
		{"no reason", "pkg.go: Unguarded: drop increment: *calls++\n", "no reason"},
		{"no reason before another", "a\nb\n\tFine.\n", "no reason"},
		{"reason alone", "\tFine.\n", "without its mutant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "list")
			if err := os.WriteFile(name, []byte("# A comment.\n\n"+c.list), 0o600); err != nil {
				t.Fatal(err)
			}
			known, err := readEquivalent(name)
			rest := mutants
			if err == nil {
				rest, err = known.remove(mutants, regexp.MustCompile("^pkg"))
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("got %v, want %q", err, c.err)
			}
			if want := len(mutants) - 1; c.name == "listed" && len(rest) != want {
				t.Errorf("%d mutants are left, want %d", len(rest), want)
			}
		})
	}
}
