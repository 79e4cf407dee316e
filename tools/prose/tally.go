package main

import (
	"fmt"
	"regexp"
	"strings"
)

// tally counts words and free relatives.
type tally struct {
	words int
	found []finding
}

// finding is one free relative.
type finding struct {
	position string // file:line
	word     string
	begins   bool // it begins a sentence
	context  string
}

var wordPattern = regexp.MustCompile("`[^`]*`|\"[^\"]*\"|[A-Za-z][A-Za-z'’]*|[.?!:;,()|]")

// add counts in one text. A quotation of one line, in backquotes or quotation marks, is
// one word, and a blank line ends a sentence.
func (t *tally) add(x text) {
	previous := "" // "" where a sentence begins
	for _, l := range x.lines {
		if strings.TrimSpace(l.text) == "" {
			previous = ""
		}
		if quoted(l.text) {
			continue
		}
		for _, at := range wordPattern.FindAllStringIndex(l.text, -1) {
			word := l.text[at[0]:at[1]]
			if !isWord(word) {
				previous = afterMark(word, previous)
				continue
			}
			t.words++
			if isFreeRelative(strings.ToLower(word), previous) {
				t.found = append(t.found, finding{
					position: fmt.Sprintf("%s:%d", x.file, l.number),
					word:     word,
					begins:   previous == "" && word[0] < 'a',
					context:  strings.TrimSpace(l.text),
				})
			}
			previous = strings.ToLower(word)
		}
	}
}

// quoted reports whether a line is a heading or a question, whose words are no clauses.
func quoted(l string) bool {
	l = strings.TrimSpace(l)
	return strings.HasPrefix(l, "#") || strings.HasSuffix(l, "?")
}

func isWord(s string) bool {
	return s[0] == '`' || s[0] == '"' || s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z'
}

// afterMark returns the previous word for the one that follows a punctuation mark.
func afterMark(mark, previous string) string {
	switch mark {
	case ".", "?", "!", "|":
		return ""
	case ",", ";", ":", "(":
		return mark
	}
	return previous
}

// nounless are words after which "who" has no noun to refer to.
var nounless = map[string]bool{
	"": true, ",": true, ":": true, ";": true, "(": true,
	"and": true, "or": true, "but": true, "than": true, "that": true, "as": true, "if": true, "not": true,
	"by": true, "to": true, "of": true, "for": true, "from": true, "with": true, "on": true, "in": true, "at": true,
	"is": true, "are": true, "was": true, "were": true, "one": true, "those": true, "ones": true, "all": true,
	"says": true, "said": true, "know": true, "knows": true, "decides": true, "tells": true, "tell": true,
}

// isFreeRelative reports whether word begins a free relative after previous. After a
// noun "who" does not: "a caller who waits".
func isFreeRelative(word, previous string) bool {
	switch word {
	case "what", "whatever", "whoever", "whichever":
		return true
	case "who", "whom":
		return nounless[previous]
	}
	return false
}
