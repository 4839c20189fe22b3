package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidate(env env) *cobra.Command {
	var f scenarioFlags
	cmd := &cobra.Command{
		Use:   "validate SCENARIO...",
		Short: "Check scenario files and say everything that is wrong with them",
		Args:  func(cmd *cobra.Command, args []string) error { return usage(cobra.MinimumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(env)
			if err != nil {
				return err
			}
			o.Local = nil // what runs it may be another machine
			if _, err := loadScenarios(args, o); err != nil {
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
