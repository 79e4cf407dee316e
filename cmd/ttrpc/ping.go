package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newPingCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ping",
		RunE: verb(func(*cobra.Command, []string) error {
			return errors.New("not there yet")
		}),
	}
}
