package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newTraceCmd() *cobra.Command {
	return &cobra.Command{
		Use: "trace",
		RunE: verb(func(*cobra.Command, []string) error {
			return errors.New("not there yet")
		}),
	}
}
