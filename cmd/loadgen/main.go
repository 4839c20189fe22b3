// Command loadgen is the instrument: it drives load against a target, measures
// it, says how far its own numbers can be trusted, and reports.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Exit codes.
const (
	exitOK          = 0
	exitTool        = 1   // the tool failed
	exitUsage       = 2   // usage or scenario error
	exitInvalid     = 3   // the instrument cannot vouch for the numbers
	exitThreshold   = 99  // a threshold failed
	exitInterrupted = 105 // a signal ended the run early; its report is written
)

// envPrefix and a flag's name in capitals make its environment variable.
const envPrefix = "LOADGEN_"

// gcPercent is how much garbage, in percent of what is in use, is let gather
// before it is collected. What is in use here is mostly counters without
// pointers, which cost the collector nothing, and what is measured makes no
// garbage, so that memory can be held close to what the connections need.
const gcPercent = 25

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := interruptible(context.Background())
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interruptible ends its context at the first SIGINT or SIGTERM, for a run that
// drains and reports, and gives the signals back, so that the second leaves at once.
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// An exit is an error with the exit code it calls for.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// usage marks an error as the caller's: exit code 2.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitUsage, err}
}

// run is the program: it parses args, does what they say and returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	root := newRoot(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitTool
	var e *exit
	if errors.As(err, &e) {
		code = e.code
	}
	_, _ = fmt.Fprintln(stderr, "loadgen:", err) // there is nowhere left to complain
	return code
}

func newRoot(environ []string) *cobra.Command {
	env := environment(environ)
	root := &cobra.Command{
		Use:   "loadgen",
		Short: "Load testing for token streams and rooms, with numbers that say how far they can be trusted",
		Long: `loadgen drives scenarios against a target, measures time to first token,
inter-token latency and fanout from the intended start, and writes a result file
and a report.

Every flag has an environment variable: ` + envPrefix + ` and its name in capitals, as
` + envPrefix + `TARGET for --target. A flag given on the command line wins.

Exit codes: 0 pass; 1 the tool failed; 2 usage or scenario error; 3 the run is
INVALID; 99 a threshold failed; 105 interrupted.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          func(cmd *cobra.Command, args []string) error { return usage(cobra.NoArgs(cmd, args)) },
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return usage(flagsFromEnv(cmd.Flags(), env))
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newRun(env), newBench(env), newValidate(env), newSchema(), newReport(env), newCalibrate(env), newCalibrateTarget())
	return root
}

func version() string {
	b := result.ThisBuild()
	if b.Revision != "" {
		b.Version += " " + b.Revision
	}
	return b.Version + " " + b.Go
}

// env answers a variable of the environment.
type env func(name string) (string, bool)

// environment reads "NAME=value" pairs, the last of a name winning.
func environment(pairs []string) env {
	vars := make(map[string]string, len(pairs))
	for _, p := range pairs {
		if name, value, ok := strings.Cut(p, "="); ok {
			vars[name] = value
		}
	}
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// flagsFromEnv sets each flag that was not given from its environment variable;
// an empty variable counts as absent.
func flagsFromEnv(flags *pflag.FlagSet, env env) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, _ := env(name); v != "" && !f.Changed {
			if err := flags.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}
