package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/show"
	"github.com/fatih/color"
	"github.com/spf13/pflag"
)

// outputFlag is the option -o. "-o perfetto FILE" takes the argument that follows it,
// wherever that is among the others.
type outputFlag struct {
	flags *pflag.FlagSet
	kind  string // text, jsonl or perfetto
	file  string
	at    int // where the file is among the arguments; -1 if it is not
}

func newOutputFlag(flags *pflag.FlagSet) *outputFlag {
	return &outputFlag{flags: flags, kind: "text", at: -1}
}

func (o *outputFlag) String() string { return o.kind }

func (o *outputFlag) Type() string { return "text|jsonl|perfetto FILE" }

func (o *outputFlag) Set(s string) error {
	kind, file, hasFile := strings.Cut(s, "=")
	if kind != "text" && kind != "jsonl" && kind != "perfetto" || hasFile && kind != "perfetto" {
		return fmt.Errorf("text, jsonl or perfetto FILE is needed")
	}
	o.kind, o.file, o.at = kind, file, -1
	if kind == "perfetto" && !hasFile {
		o.at = o.flags.NArg() // of those before the option
	}
	return nil
}

// take returns the arguments without the file.
func (o *outputFlag) take(args []string) ([]string, error) {
	if o.at >= 0 {
		if o.at >= len(args) {
			return nil, usageErrorf("-o perfetto needs a FILE")
		}
		o.file = args[o.at]
		args = append(args[:o.at:o.at], args[o.at+1:]...)
	}
	if o.kind == "perfetto" && o.file == "" {
		return nil, usageErrorf("-o perfetto needs a FILE")
	}
	return args, nil
}

// A traceOutput is where a trace's events go.
type traceOutput struct {
	show.Writer
	stdout   *bufio.Writer
	timeline *show.Timeline // nil for none
	json     bool           // the summary is JSON
}

// open opens the output. It fails for a file that cannot be made.
func (o *outputFlag) open(stdout io.Writer) (*traceOutput, error) {
	out := &traceOutput{stdout: bufio.NewWriterSize(stdout, 64<<10)}
	switch o.kind {
	case "jsonl":
		out.Writer, out.json = show.NewJSONLines(out.stdout), true
	case "perfetto":
		f, err := os.Create(o.file)
		if err != nil {
			return nil, err
		}
		out.timeline = show.NewTimeline(f)
		out.Writer = out.timeline
	default:
		out.Writer = show.NewText(out.stdout, stdout == os.Stdout && !color.NoColor)
	}
	return out, nil
}

// flush writes everything so far.
func (o *traceOutput) flush() error {
	if o.timeline != nil {
		if err := o.timeline.Flush(); err != nil {
			return err
		}
	}
	return o.stdout.Flush()
}
