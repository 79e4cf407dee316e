package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list",
		RunE: verb(func(*cobra.Command, []string) error {
			return errors.New("not there yet")
		}),
	}
}
