package ttrpc

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// headings returns the titles of a Markdown file.
func headings(text string) map[string]bool {
	titles := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		titles[m[1]] = true
	}
	return titles
}

// Comments that name a section of PROTOCOL.md name an existing one.
func TestProtocolSections(t *testing.T) {
	titles := headings(readFile(t, "PROTOCOL.md"))
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "request.proto")
	citation := regexp.MustCompile(`PROTOCOL\.md, (?:section )?"([^"]*)"`)
	commentBreak := regexp.MustCompile(`\n\s*//\s*`) // a citation may go over two lines
	citations := 0
	for _, name := range files {
		if name == "doc_test.go" {
			continue
		}
		text := commentBreak.ReplaceAllString(readFile(t, name), " ")
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			citations++
			if !titles[m[1]] {
				t.Errorf("%s: PROTOCOL.md has no section %q", name, m[1])
			}
		}
	}
	if citations == 0 {
		t.Error("no citations found: does this test still look for what comments have?")
	}
}

// The methods, fields and tests that doc.go names exist.
func TestDocNames(t *testing.T) {
	_, maintainers, found := strings.Cut(readFile(t, "doc.go"), "\npackage ttrpc\n")
	if !found {
		t.Fatal("doc.go has no part for maintainers")
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code, tests strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			tests.WriteString(readFile(t, name))
		} else {
			code.WriteString(readFile(t, name))
		}
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(maintainers, -1) {
		if !strings.Contains(tests.String(), "\nfunc "+name+"(") {
			t.Errorf("doc.go names %s, which there is not", name)
		}
	}
	architecture := readFile(t, "ARCHITECTURE.md")
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(maintainers, -1) {
		if !strings.Contains(architecture, name) {
			t.Errorf("doc.go names %s, and the table of ARCHITECTURE.md does not", name)
		}
	}
	names := regexp.MustCompile(`\b(Client|Server|budget|buffer|channel|conn|lease|serverCall|serverConn|stream|watchdog|writer)\.(\w+)`).
		FindAllStringSubmatch(maintainers, -1)
	if len(names) == 0 {
		t.Fatal("doc.go names no code: does this test still look for what it has?")
	}
	for _, m := range names {
		method := regexp.MustCompile(`(?m)^func \(\w+ \*?` + m[1] + `\) ` + m[2] + `\(`)
		structure := regexp.MustCompile(`(?ms)^type ` + m[1] + ` struct \{$.*?^\}$`).FindString(code.String())
		field := regexp.MustCompile(`(?m)^\t` + m[2] + `\s`)
		if !method.MatchString(code.String()) && !field.MatchString(structure) {
			t.Errorf("doc.go names %s, which there is not", m[0])
		}
	}
}

// Each receiver name belongs to one type, except for e, which stands for any error
// (CONTRIBUTING.md, "Code").
func TestReceiverNames(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	receiver := regexp.MustCompile(`(?m)^func \((\w+) \*?(\w+)(?:\[\w+\])?\) `)
	typeOf := make(map[string]string)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".pb.go") {
			continue
		}
		for _, m := range receiver.FindAllStringSubmatch(readFile(t, name), -1) {
			if first, ok := typeOf[m[1]]; ok && first != m[2] && m[1] != "e" {
				t.Errorf("%s: the receiver %s of %s is that of %s, too", name, m[1], m[2], first)
			}
			typeOf[m[1]] = m[2]
		}
	}
	if typeOf["ch"] != "channel" {
		t.Errorf("the receiver ch is that of %q, want channel: does this test still find receivers?", typeOf["ch"])
	}
}

// The README contains the programs of example/hello, from their package clauses on. The
// programs are compiled and run there.
func TestReadmePrograms(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	programs := []string{"example/hello/server/main.go", "example/hello/client/main.go"}
	if len(blocks) != len(programs) {
		t.Fatalf("README.md has %d programs, want %v", len(blocks), programs)
	}
	for i, name := range programs {
		comment, program, _ := strings.Cut(readFile(t, name), "\npackage ")
		if !strings.HasPrefix(comment, "//") || blocks[i][1] != "package "+program {
			t.Errorf("README.md has another program than %s:\n%s", name, blocks[i][1])
		}
	}
}

// The README fits on a few screens: its details are in the documents that it links to.
func TestReadmeLength(t *testing.T) {
	const limit = 160
	if n := strings.Count(readFile(t, "README.md"), "\n"); n > limit {
		t.Errorf("README.md has %d lines, at most %d are wanted", n, limit)
	}
}

// A file has at most 400 lines, so that its name tells its contents. Generated code may be
// longer, and so may the examples, which godoc shows in one file.
func TestFileLengths(t *testing.T) {
	const limit = 400
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name == "example_test.go" || strings.HasSuffix(name, ".pb.go") {
			continue
		}
		if n := strings.Count(readFile(t, name), "\n"); n > limit {
			t.Errorf("%s has %d lines, at most %d are wanted", name, n, limit)
		}
	}
}

// documents are the Markdown files for users and maintainers.
var documents = []string{
	"ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "PROTOCOL.md", "README.md",
	"SECURITY.md", "SWITCHING.md",
	"bench/README.md", "cmd/README.md", "cmd/ttrpc/README.md", "e2e/README.md", "hostile/README.md",
}

// Files that a document links to exist, and so do the sections that it links to.
func TestDocumentLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	for _, name := range documents {
		text := readFile(t, name)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := filepath.Join(filepath.Dir(name), m[1])
			if m[1] == "" {
				target = name
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", name, target, err)
				continue
			}
			if m[2] == "" {
				continue
			}
			found := false
			for title := range headings(readFile(t, target)) {
				anchor := strings.ReplaceAll(strings.ToLower(title), " ", "-")
				found = found || anchor == m[2][1:]
			}
			if !found {
				t.Errorf("%s links to %s: no such section", name, target+m[2])
			}
		}
	}
}

// The commands that the documents name are targets of the Makefile, and CONTRIBUTING.md
// names each target.
func TestDocumentedTargets(t *testing.T) {
	targets := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.*## `).FindAllStringSubmatch(readFile(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	for _, name := range documents {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9-]+)").FindAllStringSubmatch(readFile(t, name), -1) {
			if !targets[m[1]] {
				t.Errorf("%s names make %s, which there is not", name, m[1])
			}
		}
	}
	for target := range targets {
		if !strings.Contains(readFile(t, "CONTRIBUTING.md"), "`make "+target+"`") {
			t.Errorf("CONTRIBUTING.md does not name make %s", target)
		}
	}
}
