package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/internal/frame"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

const callHelp = `Call calls a method and prints its answer.

The request is JSON, @FILE, or - for the standard input. Without it a method gets an
empty message; one that takes a stream reads the standard input. Streams are read and
printed as JSON Lines while they go on: a message is sent as soon as it is complete, and
the end of the input closes the sending side.

JSON is that of protobuf: int64 is a string or a number, bytes are base64, an Any has
"@type" beside the fields of its message, or beside "@value", in base64, if its type is
not known. With -format text messages are protobuf text, one a line in streams; with
-format binary they are bytes, in streams each after its length as a varint.

The types come from -proto and -protoset, else from the server's reflection, else from a
built-in set: containerd's services for shims, its events, sandbox, streaming and transfer
services, and NRI's. "ttrpc list" prints them.`

// callOptions are the options of the verb call.
type callOptions struct {
	types      schema.Flags
	headers    []string
	timeout    time.Duration
	maxMessage int
	format     string
	defaults   bool
	verbose    bool
}

func newCallCmd() *cobra.Command {
	o := &callOptions{}
	cmd := &cobra.Command{
		Use:   "call ADDRESS SERVICE/METHOD [JSON|@FILE|-]",
		Short: "Call a method",
		Long:  callHelp,
		Example: `  ttrpc call /run/containerd/s/0123abc containerd.task.v2.Task/State '{"id": "c1"}'
  ttrpc call -H user:me -timeout 2s tcp://localhost:7000 inventory.Inventory/GetItem @item.json
  ttrpc call -proto inventory.proto -I api /run/inventory.sock inventory.Inventory/CountItems -`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: completeMethod,
		RunE:              verb(o.run),
	}
	fs := cmd.Flags()
	o.types.Add(fs)
	fs.StringArrayVarP(&o.headers, "header", "H", nil, "send metadata, `KEY:VALUE`")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this time, and send it as the deadline")
	fs.IntVar(&o.maxMessage, "max-message", 0, "accept messages of up to so many `BYTES` (default 4 MiB)")
	fs.StringVar(&o.format, "format", "json", "read and print messages as json, text or binary")
	fs.BoolVar(&o.defaults, "defaults", false, "print fields that have their default value, too")
	fs.BoolVarP(&o.verbose, "verbose", "v", false, "print times, frames and the metadata of the response to the standard error output")
	return cmd
}

// call is a call that is being made.
type call struct {
	ctx     context.Context
	client  *ttrpc.Client
	source  *schema.Source
	codec   message.Codec
	method  protoreflect.MethodDescriptor
	service string
	name    string
	in      io.Reader // nil without a request
	out     io.Writer
}

func (o *callOptions) run(cmd *cobra.Command, args []string) error {
	c := &call{ctx: cmd.Context(), out: cmd.OutOrStdout()}
	var err error
	if c.service, c.name, err = splitMethod(args[1]); err != nil {
		return err
	}
	if err := message.Format(o.format).Check(); err != nil {
		return usageErrorf("-format: %w", err)
	}
	if c.ctx, err = withHeaders(c.ctx, o.headers); err != nil {
		return err
	}
	if len(args) == 3 {
		in, done, err := openRequest(args[2], cmd.InOrStdin())
		if err != nil {
			return err
		}
		defer done()
		c.in = in
	}
	if o.timeout < 0 {
		return usageErrorf("-timeout must not be negative")
	}
	if o.maxMessage < 0 || o.maxMessage > frame.LargestMessage {
		return usageErrorf("-max-message must be from 1 to %d", frame.LargestMessage)
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		c.ctx, cancel = context.WithTimeout(c.ctx, o.timeout)
		defer cancel()
	}
	return o.connect(cmd, c, args[0])
}

// connect makes the call over a connection of its own.
func (o *callOptions) connect(cmd *cobra.Command, c *call, addr string) error {
	log := newCallLog(cmd.ErrOrStderr(), o.verbose)
	conn, err := dial(c.ctx, addr)
	if err != nil {
		return err
	}
	log.printf("connected to %s", addr)
	c.client = ttrpc.NewClient(log.conn(conn), ttrpc.WithClientLimits(ttrpc.Limits{MaxMessageLength: o.maxMessage}))
	defer c.client.Close()
	if c.source, err = o.types.Open(c.ctx, c.client); err != nil {
		return badInput(err)
	}
	if c.method, err = c.source.Method(c.ctx, c.service, c.name); err != nil {
		return c.explainUnknown(err)
	}
	c.codec = message.Codec{Format: message.Format(o.format), Types: c.source.Types(c.ctx), Defaults: o.defaults}
	if c.in == nil && c.method.IsStreamingClient() {
		c.in = cmd.InOrStdin()
	}
	var answer ttrpc.ResponseMetadata
	c.ctx = ttrpc.WithResponseMetadata(c.ctx, &answer)
	log.printf("calls /%s/%s", c.service, c.name)
	err = c.do()
	log.metadata("header", answer.Header())
	log.metadata("trailer", answer.Trailer())
	log.printf("finished")
	return c.explain(err, o.timeout)
}

// do makes the call: of whichever kind its method is.
func (c *call) do() error {
	if c.method.IsStreamingClient() {
		return c.stream(nil)
	}
	req, err := c.readRequest()
	if err != nil {
		return err
	}
	if c.method.IsStreamingServer() {
		return c.stream(req)
	}
	resp := dynamicpb.NewMessage(c.method.Output())
	if err := c.client.Call(c.ctx, c.service, c.name, req, resp); err != nil {
		return err
	}
	return c.print(resp, false)
}

// readRequest reads the one request of a call.
func (c *call) readRequest() (proto.Message, error) {
	var b []byte
	if c.in != nil {
		var err error
		if b, err = io.ReadAll(c.in); err != nil {
			return nil, badInput(fmt.Errorf("the request: %w", err))
		}
	}
	req, err := c.codec.Decode(b, c.method.Input())
	if err != nil {
		return nil, badInput(fmt.Errorf("the request: %w", err))
	}
	return req, nil
}

// splitMethod splits SERVICE/METHOD, which may begin with a slash. In place of the slash
// there may be a dot.
func splitMethod(s string) (service, method string, err error) {
	trimmed := strings.TrimPrefix(s, "/")
	i := strings.LastIndexByte(trimmed, '/')
	if i < 0 {
		i = strings.LastIndexByte(trimmed, '.')
	}
	if i <= 0 || i == len(trimmed)-1 {
		return "", "", usageErrorf("%q: SERVICE/METHOD is needed", s)
	}
	return trimmed[:i], trimmed[i+1:], nil
}

// withHeaders returns a context with the metadata of -H options.
func withHeaders(ctx context.Context, headers []string) (context.Context, error) {
	md := ttrpc.MD{}
	for _, h := range headers {
		key, value, ok := strings.Cut(h, ":")
		if !ok || key == "" {
			return nil, usageErrorf("-H %q: KEY:VALUE is needed", h)
		}
		md.Append(key, strings.TrimPrefix(value, " "))
	}
	if len(md) == 0 {
		return ctx, nil
	}
	return ttrpc.WithMetadata(ctx, md), nil
}

// completeMethod completes the address by files, and the method from the built-in set.
func completeMethod(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return schema.BuiltinMethods(), cobra.ShellCompDirectiveNoFileComp
}

// badInput is a mistake in the request, or in a name: the status is that of a wrong command
// line, but its form is right.
func badInput(err error) error { return &exitError{exitUsage, inputError{err}} }

type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// explainUnknown is the error of a method that no source of types knows, or that of the
// connection, if that is why.
func (c *call) explainUnknown(err error) error {
	if connErr := c.client.Err(); connErr != nil {
		return c.explain(ttrpc.ErrClosed, 0)
	}
	if ctxErr := c.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return badInput(err)
}
