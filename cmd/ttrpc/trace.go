package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os/signal"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/show"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/takeover"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/spf13/cobra"
)

// traceOptions are those of the verb trace.
type traceOptions struct {
	takeover string
	payload  bool
	filter   show.Filter
	output   *outputFlag
	types    schema.Flags
}

func newTraceCmd() *cobra.Command {
	o := &traceOptions{}
	cmd := &cobra.Command{
		Use:   "trace [-o FORMAT] LISTEN TARGET | trace -takeover PATH",
		Short: "Show the frames and calls that pass between two programs",
		Long: `Trace listens on the address LISTEN, connects each client to the server at TARGET,
and shows what passes: frames with direction, stream, method, size and flags, calls with
status, duration, deadline and metadata, extensions, and violations of the protocol. It
ends with a signal, and prints a summary of the calls then.

Bytes are forwarded as they are and at once, also those that are no ttrpc; so are the ends
of connections. When the output is too slow, frames are left out of it, which is said, and
not held up. A reset arrives on a unix socket as one where the other side had not read
everything, and as an end otherwise.

With -takeover the trace takes the place of a unix socket: a listener with the same mode
and owner comes to PATH, and the server's socket is PATH` + takeover.Suffix + ` meanwhile. Connections
that exist already stay as they are and are not shown. At the end, also by SIGINT, SIGTERM
and SIGHUP, the socket is put back, and connections through the trace end. If the trace is
killed otherwise, the next one with -takeover puts it back, or by hand:

  mv PATH` + takeover.Suffix + ` PATH

The server sees the trace's user, group and process in place of the client's: one that
asks for the credentials of its peer (SO_PEERCRED) may refuse, or allow too much. Run the
trace as the user that the client has. File descriptors are not passed on.

With -payload types come from where those of "ttrpc call" do; the server's reflection is
asked over a connection of its own, which is not shown.

A timeline (-o perfetto FILE) is in Chrome's JSON format of trace events; open it at
https://ui.perfetto.dev.`,
		Example: `  ttrpc trace /tmp/trace.sock /run/containerd/containerd.sock.ttrpc
  ttrpc trace -takeover /run/containerd/s/4f… -slow 50ms
  ttrpc trace -takeover /run/nri/nri.sock -payload -o perfetto nri.json`,
	}
	fs := cmd.Flags()
	o.output = newOutputFlag(fs)
	fs.VarP(o.output, "output", "o", "`FORMAT` of the output: text, jsonl, or perfetto FILE for a timeline")
	fs.StringVar(&o.takeover, "takeover", "", "take the place of the unix socket at `PATH`")
	fs.BoolVar(&o.payload, "payload", false, "show messages as JSON, if their types are known")
	fs.StringSliceVar(&o.filter.Services, "service-filter", nil, "show calls of services that match a `PATTERN` alone, as containerd.task.*")
	fs.DurationVar(&o.filter.Slow, "slow", 0, "show calls alone that take `TIME` or longer")
	o.types.Add(fs)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) })
	return cmd
}

func (o *traceOptions) run(cmd *cobra.Command, args []string) error {
	args, err := o.output.take(args)
	if err != nil {
		return err
	}
	if err := o.filter.Check(); err != nil {
		return usageErrorf("-service-filter: %w", err)
	}
	// The end of the terminal or of a pipe must not prevent that the socket is put back.
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
	defer stop()
	signal.Ignore(syscall.SIGPIPE)
	l, target, restore, err := o.listen(cmd, args)
	if err != nil {
		return err
	}
	t, err := o.tracer(ctx, cmd.OutOrStdout(), target)
	if err != nil {
		return errors.Join(err, restore(), l.Close())
	}
	defer t.close()
	return t.run(ctx, l, target, restore)
}

// tracer opens the output and the types.
func (o *traceOptions) tracer(ctx context.Context, stdout io.Writer, target string) (*tracer, error) {
	t := &tracer{filter: &o.filter, summary: show.NewSummary(&o.filter), close: func() {}}
	t.watcher.Emit = t.emit
	if o.payload {
		types, err := o.openTypes(ctx, target)
		if err != nil {
			return nil, badInput(err)
		}
		t.watcher.Types, t.close = types, types.close
	}
	out, err := o.output.open(stdout)
	if err != nil {
		t.close()
		return nil, err
	}
	t.out = out
	return t, nil
}

// openTypes opens the sources of types. The server's reflection has a connection of its
// own, if the server is there.
func (o *traceOptions) openTypes(ctx context.Context, target string) (*messageTypes, error) {
	mt := &messageTypes{close: func() {}}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var caller ttrpc.Caller
	if conn, err := address.Dial(ctx, target); err == nil {
		client := ttrpc.NewClient(conn)
		mt.close = func() { client.Close() }
		caller = client
	}
	var err error
	if mt.source, err = o.types.Open(ctx, caller); err != nil {
		mt.close()
		return nil, err
	}
	return mt, nil
}

// listen returns where clients come from, the server's address, and the function that
// puts things back.
func (o *traceOptions) listen(cmd *cobra.Command, args []string) (net.Listener, string, func() error, error) {
	if o.takeover == "" {
		if len(args) != 2 {
			return nil, "", nil, usageErrorf("two addresses are needed, LISTEN and TARGET, or -takeover")
		}
		if err := address.Check(args[1]); err != nil {
			return nil, "", nil, usageErrorf("%w", err)
		}
		l, err := address.Listen(args[0])
		if errors.Is(err, address.ErrSyntax) {
			err = usageErrorf("%w", err)
		}
		return l, args[1], func() error { return nil }, err
	}
	if len(args) != 0 {
		return nil, "", nil, usageErrorf("-takeover needs no addresses")
	}
	place, err := takeover.Take(o.takeover)
	if err != nil {
		return nil, "", nil, err
	}
	if place.Repaired {
		cmd.PrintErrf("ttrpc: an earlier trace had not put %s back; that is done\n", o.takeover)
	}
	restore := func() error {
		remade, err := place.Restore()
		if remade {
			cmd.PrintErrf("ttrpc: the server has made %s anew; it stays as it is\n", o.takeover)
		}
		return err
	}
	return place.Listener, "unix://" + place.Saved, restore, nil
}

// A tracer shows the frames that pass through a proxy.
type tracer struct {
	watcher watch.Watcher
	out     *traceOutput
	close   func() // of the sources of types
	filter  *show.Filter
	summary *show.Summary
	err     error // of the output, the first one
}

// pause is how long the tracer waits before it looks at copies that have come. The
// forwarding of an answer does not compete with the showing of its request so.
const pause = 20 * time.Millisecond

// run forwards until ctx ends or the output fails.
func (t *tracer) run(ctx context.Context, l net.Listener, target string, restore func() error) error {
	queue := proxy.NewQueue()
	p := &proxy.Proxy{
		Dial: func(ctx context.Context) (net.Conn, error) { return address.Dial(ctx, target) },
		Tap:  queue,
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	restored := make(chan error, 1) // sent when ctx has ended
	context.AfterFunc(ctx, func() {
		err := restore() // before the listener ends: clients always find somebody
		l.Close()
		restored <- err
	})
	watched := make(chan struct{}) // closed when everything is shown
	go func() {
		defer close(watched)
		t.watch(queue, cancel)
	}()
	err := p.Serve(ctx, l)
	cancel()
	queue.Close()
	<-watched
	return errors.Join(err, <-restored, t.finish())
}

// watch is the goroutine that shows; it ends when the queue does. It calls cancel when the
// output fails.
func (t *tracer) watch(queue *proxy.Queue, cancel func()) {
	var ticks <-chan time.Time
	if slow := t.filter.Slow; slow > 0 {
		ticker := time.NewTicker(min(max(slow/2, 10*time.Millisecond), time.Second))
		defer ticker.Stop()
		ticks = ticker.C
	}
	for more := true; more; {
		select {
		case <-queue.C():
		case now := <-ticks:
			t.watcher.Running(now, t.filter.Slow)
			t.flush(cancel)
			continue
		}
		time.Sleep(pause)
		var items []proxy.Item
		var missing int
		items, missing, more = queue.Take()
		for i := range items {
			t.watcher.Take(&items[i])
		}
		if missing > 0 {
			t.watcher.Missing(missing)
		}
		t.flush(cancel)
	}
}

func (t *tracer) flush(cancel func()) {
	t.fail(t.out.flush())
	if t.err != nil {
		cancel()
	}
}

func (t *tracer) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *tracer) emit(e *watch.Event) {
	t.summary.Event(e)
	if t.err == nil && t.filter.Shows(e) {
		t.fail(t.out.Event(e))
	}
}

// finish writes the rest. It returns the error of the output.
func (t *tracer) finish() error {
	t.fail(t.out.Close())
	write := t.summary.WriteText
	if t.out.json {
		write = t.summary.WriteJSON
	}
	if t.err == nil {
		t.fail(write(t.out.stdout, t.watcher.Open()))
		t.fail(t.out.stdout.Flush())
	}
	return t.err
}
