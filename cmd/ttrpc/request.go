package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

// openRequest opens the request of the command line: text, @FILE, or - for in.
func openRequest(arg string, in io.Reader) (r io.Reader, done func(), err error) {
	switch {
	case arg == "-":
		return in, func() {}, nil
	case strings.HasPrefix(arg, "@"):
		f, err := os.Open(arg[1:])
		if err != nil {
			return nil, nil, badInput(fmt.Errorf("the request: %w", err))
		}
		return f, func() { f.Close() }, nil
	}
	return strings.NewReader(arg), func() {}, nil
}

// maxDelimited limits a message of a binary stream; the protocol has no longer one.
const maxDelimited = 1 << 24

// newSplitter returns a function that returns the messages of a stream, one after another
// and each as soon as it is there, and then io.EOF.
func newSplitter(format message.Format, in io.Reader) func() ([]byte, error) {
	buffered := bufio.NewReader(in)
	switch format {
	case message.Binary:
		return func() ([]byte, error) { return readDelimited(buffered) }
	case message.Text:
		return func() ([]byte, error) {
			line, err := buffered.ReadBytes('\n')
			if err == io.EOF && len(line) > 0 {
				err = nil
			}
			return line, err
		}
	}
	// The decoder reads no more than it needs: an object ends with its brace.
	decoder := json.NewDecoder(in)
	return func() ([]byte, error) {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			err = fmt.Errorf("not JSON after %d bytes: %w", syntax.Offset, err)
		}
		return raw, err
	}
}

func readDelimited(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > maxDelimited {
		return nil, fmt.Errorf("a message of %d bytes is longer than any that can be sent", n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
