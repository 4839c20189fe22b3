package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/edgeload/edgeload/internal/loadgen/report"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

func newReport(env env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "report RESULT...",
		Short: "Show stored results as " + strings.Join(report.Formats(), ", "),
		Args:  func(cmd *cobra.Command, args []string) error { return usage(cobra.MinimumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(report.Formats(), format) {
				return usage(fmt.Errorf("--format %q: expected one of %s", format, strings.Join(report.Formats(), ", ")))
			}
			var results []*result.Result
			var errs []error
			for _, path := range args {
				r, err := result.Read(path)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				results = append(results, r)
			}
			if len(errs) > 0 {
				return usage(errors.Join(errs...))
			}
			return report.Write(cmd.OutOrStdout(), format, results, reportOptions(cmd.OutOrStdout(), env))
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "text", "one of "+strings.Join(report.Formats(), ", "))
	return cmd
}

// reportOptions suits a report to where it is written: colours and width are
// for a terminal.
func reportOptions(w io.Writer, env env) report.Options {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return report.Options{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return report.Options{Color: !noColor(env), Width: width}
}

// noColor follows no-color.org: the variable, set to anything, means no colours.
func noColor(env env) bool {
	v, _ := env("NO_COLOR")
	return v != ""
}
