package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newCallCmd() *cobra.Command {
	return &cobra.Command{
		Use: "call",
		RunE: verb(func(*cobra.Command, []string) error {
			return errors.New("not there yet")
		}),
	}
}
