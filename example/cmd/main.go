// Command cmd is a walk through ttrpc. Without arguments it serves an inventory on a temporary
// Unix socket, calls itself and prints the view of each side. The commands "server" and
// "client" run the two halves in two terminals.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/containerd/ttrpc/socket"
)

const usage = `A walk through ttrpc: an inventory service and a client of it.

  go run ./example/cmd                         both, over a temporary unix socket
  go run ./example/cmd server [-socket path]   serve until interrupted
  go run ./example/cmd client [-socket path]   call a server in another terminal

  -socket path   the unix socket (default %s)
  -h             print this
`

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "example: %v\n", err)
	var wrong *usageError
	if errors.As(err, &wrong) {
		os.Exit(2)
	}
	os.Exit(1)
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text + " (-h prints what there is)" }

// command is the parsed command line.
type command struct {
	name   string // "", "server" or "client"
	socket string
	help   bool
}

func run(args []string, stdout io.Writer) error {
	cmd, err := parse(args)
	if err != nil {
		return err
	}
	if cmd.help {
		fmt.Fprintf(stdout, usage, defaultSocket())
		return nil
	}
	// A second signal ends the process as usual.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	out := &transcript{w: stdout}
	switch cmd.name {
	case "server":
		return runServer(ctx, cmd.socket, out)
	case "client":
		err = runClient(ctx, cmd.socket, out)
	default:
		err = runBoth(ctx, out)
	}
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

func parse(args []string) (command, error) {
	cmd := command{socket: defaultSocket()}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, and main prints it
	if len(args) > 0 && (args[0] == "server" || args[0] == "client") {
		cmd.name, args = args[0], args[1:]
		flags.StringVar(&cmd.socket, "socket", cmd.socket, "")
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		cmd.help = true
	case err != nil:
		return cmd, &usageError{err.Error()}
	case flags.NArg() > 0 && cmd.name == "":
		return cmd, &usageError{fmt.Sprintf("unknown command %q", flags.Arg(0))}
	case flags.NArg() > 0:
		return cmd, &usageError{fmt.Sprintf("%s takes no argument %q", cmd.name, flags.Arg(0))}
	case cmd.socket == "":
		return cmd, &usageError{"the path of the socket is empty"}
	}
	return cmd, nil
}

func defaultSocket() string { return filepath.Join(os.TempDir(), "ttrpc-example.sock") }

// runServer runs the first half: it serves on path until ctx ends.
func runServer(ctx context.Context, path string, out *transcript) error {
	l, err := socket.ListenUnix(path)
	if err != nil {
		return err
	}
	out.server("listening on %s until interrupted (Ctrl-C)", path)
	return serve(ctx, l, out)
}

// runClient runs the second half: it calls the server on path.
func runClient(ctx context.Context, path string, out *transcript) error {
	client, calls, err := dial(ctx, path)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = walk(ctx, client, calls, out)
	return err
}

// runBoth runs the two halves in one process.
func runBoth(ctx context.Context, out *transcript) error {
	dir, err := os.MkdirTemp("", "ttrpc-example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	l, err := socket.ListenUnix(path)
	if err != nil {
		return err
	}
	out.server("listening on %s", path)
	serving, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- serve(serving, l, out) }()

	err = callAndStop(ctx, path, out, stop)
	stop()
	return errors.Join(err, <-served)
}

// callAndStop is runClient with one more step, the end of the server. The client stays
// connected until the server has stopped, unless a step fails.
func callAndStop(ctx context.Context, path string, out *transcript, stop func()) error {
	client, calls, err := dial(ctx, path)
	if err != nil {
		return err
	}
	defer client.Close()
	w, err := walk(ctx, client, calls, out)
	if err != nil {
		return err
	}
	err = w.step(ctx, "A graceful shutdown", func(ctx context.Context) error { return w.shutdown(ctx, stop) })
	if err != nil {
		return err
	}
	return client.UserOnCloseWait(ctx)
}
