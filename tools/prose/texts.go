package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// text is one comment, or the prose of one Markdown file.
type text struct {
	file  string
	lines []line
}

type line struct {
	number int
	text   string
}

// readTexts returns the texts of all files below root.
func readTexts(root string) ([]text, error) {
	var texts []text
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "out" || name == "build") { // the last two have no sources
				return filepath.SkipDir
			}
			return nil
		}
		switch {
		case strings.HasSuffix(path, ".go"):
			t, err := goComments(path)
			if err != nil {
				return err
			}
			texts = append(texts, t...)
		case strings.HasSuffix(path, ".md"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			texts = append(texts, markdown(path, string(b)))
		}
		return nil
	})
	return texts, err
}

// goComments returns the comments of a Go file, none if it is generated.
func goComments(path string) ([]text, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if ast.IsGenerated(f) {
		return nil, nil
	}
	var texts []text
	for _, group := range f.Comments {
		t := text{file: path}
		for _, c := range group.List {
			number := files.Position(c.Pos()).Line
			body := strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(c.Text, "/*"), "*/"), "//")
			for i, l := range strings.Split(body, "\n") {
				if strings.HasPrefix(c.Text, "//") && strings.HasPrefix(l, "\t") {
					l = "" // code
				}
				t.lines = append(t.lines, line{number + i, l})
			}
		}
		texts = append(texts, t)
	}
	return texts, nil
}

// markdown returns the prose of a Markdown file: blocks of code are left out.
func markdown(path, s string) text {
	t := text{file: path}
	code := false
	for i, l := range strings.Split(s, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(l), "```")
		if fence || code || strings.HasPrefix(l, "    ") || strings.HasPrefix(l, "\t") {
			code = code != fence
			l = ""
		}
		t.lines = append(t.lines, line{i + 1, l})
	}
	return t
}
