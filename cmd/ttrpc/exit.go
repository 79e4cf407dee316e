package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	exitFailed      = 1 // the call failed, or anything else that is no mistake of the command line
	exitUsage       = 2 // the command line is wrong
	exitUnreachable = 3 // no connection to the peer, or it ended before an answer
)

// exitError is an error with the exit status of the process. Errors of a verb that are no
// exitError mean exitFailed.
type exitError struct {
	status int
	err    error // nil if the reason has been printed
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageErrorf(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func unreachable(err error) error { return &exitError{exitUnreachable, err} }

// verb adapts the function of a command for cobra: its errors are exitErrors then, and all
// that have none are cobra's own, of the command line.
func verb(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var exit *exitError
		if err == nil || errors.As(err, &exit) {
			return err
		}
		return &exitError{exitFailed, err}
	}
}

// report prints the error of a command and returns the exit status.
func report(cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{exitUsage, err}
	}
	if exit.err != nil {
		// The library's errors begin with the same word.
		cmd.PrintErrf("ttrpc: %s\n", printable(strings.TrimPrefix(err.Error(), "ttrpc: ")))
	}
	if input := (inputError{}); exit.status == exitUsage && !errors.As(err, &input) {
		cmd.PrintErrf("Usage: %s\n%q has more.\n", cmd.UseLine(), cmd.CommandPath()+" -h")
	}
	return exit.status
}

// printable replaces the control characters of a text that a peer may have written, so that
// it cannot command the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
