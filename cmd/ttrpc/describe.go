package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newDescribeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "describe",
		RunE: verb(func(*cobra.Command, []string) error {
			return errors.New("not there yet")
		}),
	}
}
