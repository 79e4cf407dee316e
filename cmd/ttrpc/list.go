package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/census"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const listHelp = `List prints the names of services, or with a service those of its methods.

With an address it asks the server's reflection. A server that has none is asked for
each service of the types at hand: a call of a method that cannot exist tells whether
there is the service. Nothing runs on the server. Without an address list prints the
services of -proto and -protoset, or else those that are built in.`

// lookOptions are the options of list and describe.
type lookOptions struct {
	types   schema.Flags
	timeout time.Duration
}

func (o *lookOptions) add(cmd *cobra.Command) {
	o.types.Add(cmd.Flags())
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Second, "give up after this time")
}

func newListCmd() *cobra.Command {
	o := &lookOptions{}
	cmd := &cobra.Command{
		Use:   "list [ADDRESS] [SERVICE]",
		Short: "List services, or the methods of one",
		Long:  listHelp,
		Example: `  ttrpc list /run/inventory.sock
  ttrpc list /run/inventory.sock inventory.Inventory
  ttrpc list -proto inventory.proto -I api`,
		Args: cobra.MaximumNArgs(2),
		RunE: verb(o.list),
	}
	o.add(cmd)
	return cmd
}

// look opens the types for a command line of which the address is optional, and returns
// the name, if there is one, and the client, which is nil without an address.
func (o *lookOptions) look(ctx context.Context, args []string, need int) (source *schema.Source, client *ttrpc.Client, name string, err error) {
	addr := ""
	switch {
	case len(args) == 2:
		addr, name = args[0], args[1]
	case len(args) == 1 && (need == 1 || !isAddress(args[0])):
		name = args[0]
	case len(args) == 1:
		addr = args[0]
	}
	if addr != "" {
		conn, err := dial(ctx, addr)
		if err != nil {
			return nil, nil, "", err
		}
		client = ttrpc.NewClient(conn)
		source, err = o.types.Open(ctx, client)
		if err != nil {
			client.Close()
		}
		return source, client, name, inputOrNil(err)
	}
	source, err = o.types.Open(ctx, nil)
	return source, nil, name, inputOrNil(err)
}

func inputOrNil(err error) error {
	if err != nil {
		return badInput(err)
	}
	return nil
}

// isAddress tells an address from the name of a service. A name has neither slashes nor an
// @; a socket in the working directory is there, or has the usual ending.
func isAddress(s string) bool {
	_, err := os.Lstat(s)
	return err == nil || strings.ContainsAny(s, `/\@`) || strings.HasSuffix(s, ".sock")
}

func (o *lookOptions) list(cmd *cobra.Command, args []string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	source, client, name, err := o.look(ctx, args, 0)
	if err != nil {
		return err
	}
	if client != nil {
		defer client.Close()
	}
	if name != "" {
		return listMethods(ctx, cmd, source, name)
	}
	names, reflected, err := source.Services(ctx)
	if err != nil {
		return err
	}
	if client != nil && !reflected {
		cmd.PrintErrln("ttrpc: the server has no reflection; it is asked for each known service")
		if names, err = census.Services(ctx, client, names); err != nil {
			if client.Err() != nil {
				return unreachable(err)
			}
			return err
		}
	}
	for _, name := range names {
		fmt.Fprintln(cmd.OutOrStdout(), printable(name))
	}
	return nil
}

func listMethods(ctx context.Context, cmd *cobra.Command, source *schema.Source, name string) error {
	d, err := source.Find(ctx, protoreflect.FullName(name))
	if err != nil {
		return badInput(err)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return badInput(fmt.Errorf("%s is no service", name))
	}
	for i := range sd.Methods().Len() {
		fmt.Fprintf(cmd.OutOrStdout(), "%s/%s\n", name, sd.Methods().Get(i).Name())
	}
	return nil
}
