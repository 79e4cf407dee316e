package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const describeHelp = `Describe prints a service, method, message, enum or field as a proto file has it.

The SYMBOL is a full name, such as containerd.task.v2.Task; a method may be
SERVICE/METHOD. With an address the server's reflection is asked, too; the sources of
types and their order are those of "ttrpc call".`

func newDescribeCmd() *cobra.Command {
	o := &lookOptions{}
	cmd := &cobra.Command{
		Use:   "describe [ADDRESS] SYMBOL",
		Short: "Print a service, method or type as proto text",
		Long:  describeHelp,
		Example: `  ttrpc describe containerd.task.v2.Task
  ttrpc describe /run/inventory.sock inventory.Inventory/GetItem
  ttrpc describe -proto inventory.proto -I api inventory.Item`,
		Args: cobra.RangeArgs(1, 2),
		RunE: verb(o.describe),
	}
	o.add(cmd)
	return cmd
}

func (o *lookOptions) describe(cmd *cobra.Command, args []string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	source, client, name, err := o.look(ctx, args, 1)
	if err != nil {
		return err
	}
	if client != nil {
		defer client.Close()
	}
	name = strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")
	d, err := source.Find(ctx, protoreflect.FullName(name))
	if err != nil {
		return badInput(err)
	}
	text, err := printDescriptor(d)
	if err != nil {
		return fmt.Errorf("%s cannot be printed: %w", name, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "// In %s\n%s", printable(d.ParentFile().Path()), printable(text))
	return nil
}

// printDescriptor returns proto text. The descriptor may be from a server, so a panic of
// the printer is an error of the descriptor.
func printDescriptor(d protoreflect.Descriptor) (text string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.New("the descriptor makes no sense")
		}
	}()
	printer := protoprint.Printer{Compact: true}
	return printer.PrintProtoToString(d)
}
