package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newManCmd prints the man page: that of the tool, or with a verb that of the verb.
func newManCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "man [COMMAND]",
		Short: "Print the man page of the tool or of a command",
		Example: `  ttrpc man | man -l -
  ttrpc man call | man -l -
  ttrpc man >/usr/local/share/man/man1/ttrpc.1`,
		Args: cobra.MaximumNArgs(1),
		RunE: verb(func(cmd *cobra.Command, args []string) error {
			of, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageErrorf("there is no command %q", args)
			}
			of.DisableAutoGenTag = true
			epoch := time.Unix(0, 0)
			return doc.GenMan(of, &doc.GenManHeader{Section: "1", Source: "ttrpc", Date: &epoch}, cmd.OutOrStdout())
		}),
	}
}
