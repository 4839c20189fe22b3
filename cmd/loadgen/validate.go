package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func newValidate(env env) *cobra.Command {
	var f scenarioFlags
	cmd := &cobra.Command{
		Use:   "validate SCENARIO...",
		Short: "Check scenario files, each with all its environments, and say everything that is wrong with them",
		Args:  func(cmd *cobra.Command, args []string) error { return usage(cobra.MinimumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(env)
			if err != nil {
				return err
			}
			o.Local = nil // what runs it may be another machine
			_, err = loadAll(args, func(path string) ([]*scenario.Scenario, error) {
				return scenario.ReadEnvironments(path, o)
			})
			if err != nil {
				return err
			}
			for _, path := range args {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), path+": ok"); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.register(cmd)
	return cmd
}
