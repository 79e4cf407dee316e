package main

import (
	"fmt"
	"io"
	"sync"
)

// transcript prints events in whole lines, so that the server and the client can share it.
type transcript struct {
	mu    sync.Mutex
	w     io.Writer
	steps int
}

// step begins a numbered part of the walk.
func (t *transcript) step(title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps++
	fmt.Fprintf(t.w, "\n%d. %s\n", t.steps, title)
}

func (t *transcript) client(format string, args ...any) { t.line("client", format, args) }
func (t *transcript) server(format string, args ...any) { t.line("server", format, args) }

func (t *transcript) line(who, format string, args []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, "   %s: %s\n", who, fmt.Sprintf(format, args...))
}
