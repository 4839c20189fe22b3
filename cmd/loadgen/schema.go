package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func newSchema() *cobra.Command {
	kinds := []string{"scenario", "result"}
	return &cobra.Command{
		Use:       "schema scenario|result",
		Short:     "Print the JSON Schema of a file format",
		ValidArgs: kinds,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(kinds, args[0]) {
				return usage(fmt.Errorf("schema %v: expected one of %v", args, kinds))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			schema := scenario.Schema
			if args[0] == "result" {
				schema = result.Schema
			}
			b, err := schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}
