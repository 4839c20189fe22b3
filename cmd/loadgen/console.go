package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/edgeload/edgeload/internal/loadgen/live"
	"github.com/edgeload/edgeload/internal/loadgen/report"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A console is where a command speaks to people: progress on stderr, reports on
// stdout.
type console struct {
	stdout, stderr io.Writer
	env            env
	quiet          bool
}

func newConsole(cmd *cobra.Command, env env, quiet bool) *console {
	return &console{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), env: env, quiet: quiet}
}

// progress shows a run of sc while it goes on.
func (c *console) progress(sc *scenario.Scenario) *live.Console {
	if !c.quiet {
		_, _ = fmt.Fprintf(c.stderr, "%s: %v warm-up, %v measured, against %s\n", sc.Name, sc.Warmup, sc.Duration, sc.Scrub(sc.Target))
	}
	o := live.Options{Quiet: c.quiet, Color: !noColor(c.env)}
	if f, ok := c.stderr.(*os.File); ok {
		o.Terminal = term.IsTerminal(int(f.Fd()))
	}
	return live.New(c.stderr, o)
}

// report writes the text report of a run and where its folder is.
func (c *console) report(res *result.Result, dir string) error {
	if err := report.Write(c.stdout, "text", []*result.Result{res}, reportOptions(c.stdout, c.env)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "\nreport: %s\n", filepath.Join(dir, "report.html"))
	return err
}
