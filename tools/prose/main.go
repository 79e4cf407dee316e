// Command prose checks the English of a repository: the comments of its Go files, and
// its Markdown files. A reader stumbles over free relatives, which are clauses that
// begin with "what" or "who" and stand for a noun that the writer left out ("it frees
// what nobody will receive"), so prose counts them and fails above a rate. It also
// fails for each sentence that begins with one.
//
// Usage:
//
//	prose [-max rate] [-v] [directory ...]
//
// Generated files and testdata are left out.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	limit := flag.Float64("max", 1.5, "fail above this `rate` of free relatives in 1,000 words")
	verbose := flag.Bool("v", false, "print each of them")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: prose [-max rate] [-v] [directory ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	roots := flag.Args()
	if len(roots) == 0 {
		roots = []string{"."}
	}
	ok, err := check(os.Stdout, roots, *limit, *verbose)
	if err != nil {
		fmt.Fprintf(os.Stderr, "prose: %v\n", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// check counts in all files below roots, and reports whether they pass.
func check(w io.Writer, roots []string, limit float64, verbose bool) (bool, error) {
	var total tally
	for _, root := range roots {
		texts, err := readTexts(root)
		if err != nil {
			return false, err
		}
		for _, t := range texts {
			total.add(t)
		}
	}
	ok := true
	for _, f := range total.found {
		if f.begins {
			fmt.Fprintf(w, "%s: a sentence begins with %q\n", f.position, f.word)
			ok = false
		} else if verbose {
			fmt.Fprintf(w, "%s: %s\n", f.position, f.context)
		}
	}
	if total.words == 0 {
		return false, fmt.Errorf("no comments and no Markdown files in %v", roots)
	}
	rate := float64(len(total.found)) / float64(total.words) * 1000
	fmt.Fprintf(w, "%d free relatives in %d words: %.2f in 1,000, at most %.2f\n", len(total.found), total.words, rate, limit)
	return ok && rate <= limit, nil
}
