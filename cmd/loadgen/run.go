package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/driver"
	"github.com/edgeload/edgeload/internal/loadgen/gate"
	"github.com/edgeload/edgeload/internal/loadgen/report"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// stopTimeout is how long a server under test may take to end before it is killed.
const stopTimeout = 20 * time.Second

// runFlags are the flags of run.
type runFlags struct {
	scenarioFlags
	out   string
	start string
	ready string
	quiet bool
}

// scenarioFlags are the flags that change what a scenario file says.
type scenarioFlags struct {
	target   string
	vars     []string
	duration time.Duration
	rate     string
}

func (f *scenarioFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.target, "target", "", "base URL of the target, instead of the scenario's")
	cmd.Flags().StringArrayVarP(&f.vars, "env", "e", nil, "`NAME=VALUE` for ${NAME} in the scenario; may be repeated")
	cmd.Flags().DurationVarP(&f.duration, "duration", "d", 0, "measured duration, instead of the scenario's")
	cmd.Flags().StringVar(&f.rate, "rate", "", "constant arrival rate such as 50/s, instead of the scenario's")
}

// options turns the flags into how a scenario is to be read.
func (f *scenarioFlags) options(env env) (scenario.Options, error) {
	o := scenario.Options{Target: f.target, Duration: scenario.Duration(f.duration), Metrics: driver.Metrics()}
	vars := make(map[string]string)
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return o, usage(fmt.Errorf("-e %s: expected NAME=VALUE", v))
		}
		vars[name] = value
	}
	o.Env = func(name string) (string, bool) {
		if v, ok := vars[name]; ok {
			return v, true
		}
		return env(name)
	}
	if f.duration < 0 {
		return o, usage(fmt.Errorf("--duration %s: expected a time above 0", f.duration))
	}
	if f.rate != "" {
		rate, err := scenario.ParseRate(f.rate)
		if err != nil {
			return o, usage(fmt.Errorf("--rate: %w", err))
		}
		o.Rate = rate
	}
	return o, nil
}

// loadScenarios reads all files and reports what is wrong with any of them.
func loadScenarios(paths []string, o scenario.Options) ([]*scenario.Scenario, error) {
	var scenarios []*scenario.Scenario
	var errs []error
	for _, p := range paths {
		sc, err := scenario.ReadFile(p, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		scenarios = append(scenarios, sc)
	}
	if len(errs) > 0 {
		return nil, usage(errors.Join(errs...))
	}
	return scenarios, nil
}

func newRun(env env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run SCENARIO...",
		Short: "Drive scenarios against a target and report",
		Args:  func(cmd *cobra.Command, args []string) error { return usage(cobra.MinimumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args, env)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.out, "out", "reports", "folder that the run's own folder is written to")
	cmd.Flags().StringVar(&f.start, "start", "", "`command` that starts the server under test; it is stopped after the run")
	cmd.Flags().StringVar(&f.ready, "ready", "", "`URL` that answers 2xx once the started server is ready")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no progress; the verdict and the reports only")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, paths []string, env env) (err error) {
	ctx := cmd.Context()
	if (f.ready != "") != (f.start != "") {
		return usage(errors.New("--start and --ready go together"))
	}
	o, err := f.options(env)
	if err != nil {
		return err
	}
	scenarios, err := loadScenarios(paths, o)
	if err != nil {
		return err
	}
	if f.start != "" {
		server, err := target.Start(ctx, target.Options{Shell: f.start, Ready: f.ready, StopTimeout: stopTimeout})
		if err != nil {
			return fmt.Errorf("start the server under test: %w", err)
		}
		defer func() { err = errors.Join(err, stopServer(ctx, server)) }()
	}
	console := newConsole(cmd, env, f.quiet)
	var worst outcome
	for _, sc := range scenarios {
		res, err := measure(ctx, sc, console)
		if err != nil {
			return err
		}
		files, err := runFiles(res)
		if err != nil {
			return err
		}
		dir, err := result.SaveRun(f.out, res.ID, files)
		if err != nil {
			return err
		}
		if err := console.report(res, dir); err != nil {
			return err
		}
		worst.add(res)
		if ctx.Err() != nil {
			break
		}
	}
	return worst.err()
}

// stopServer stops the server under test even when ctx has ended, and says so
// when it ended by itself before that.
func stopServer(ctx context.Context, server *target.Process) error {
	if end, ended := server.Ended(); ended {
		return fmt.Errorf("the server under test ended during the run: %s; its last output:\n%s", end.Status, server.Output())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*stopTimeout)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		return fmt.Errorf("stop the server under test: %w", err)
	}
	return nil
}

// measure runs one scenario and judges its thresholds.
func measure(ctx context.Context, sc *scenario.Scenario, c *console) (*result.Result, error) {
	plan, err := driver.Plan(sc)
	if err != nil {
		return nil, usage(fmt.Errorf("scenario %s: %w", sc.Name, err))
	}
	id := result.NewID(time.Now(), sc.Name)
	progress := c.progress(sc)
	plan.Observe = progress.Observe
	res, err := plan.Run(ctx, id)
	progress.Close()
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	if res.Thresholds, err = gate.Evaluate(res); err != nil {
		// Thresholds were checked with the scenario; what cannot be judged all the
		// same stands as "no data", and the run is worth keeping.
		res.Warnings = append(res.Warnings, err.Error())
	}
	return res, nil
}

// runFiles is what a run's folder holds.
func runFiles(res *result.Result) (map[string][]byte, error) {
	encoded, err := res.Encode()
	if err != nil {
		return nil, err
	}
	var page strings.Builder
	if err := report.HTML(&page, res); err != nil {
		return nil, fmt.Errorf("write the HTML report: %w", err)
	}
	return map[string][]byte{result.FileName: encoded, "report.html": []byte(page.String())}, nil
}

// An outcome gathers what the runs of one command came to; the worst decides
// the exit code.
type outcome struct {
	interrupted, invalid, failed []string
}

func (o *outcome) add(res *result.Result) {
	name := res.Scenario.Name
	if res.Interrupted {
		o.interrupted = append(o.interrupted, name)
	}
	if res.Validity.State == result.Invalid {
		o.invalid = append(o.invalid, name)
	}
	if gate.Failed(res.Thresholds) {
		o.failed = append(o.failed, name)
	}
}

// err is the reason in one line, or nil when everything passed. An interrupted
// run says nothing about its thresholds, an invalid one vouches for none.
func (o *outcome) err() error {
	list := func(names []string) string { return strings.Join(names, ", ") }
	switch {
	case len(o.interrupted) > 0:
		return &exit{exitInterrupted, fmt.Errorf("interrupted: %s", list(o.interrupted))}
	case len(o.invalid) > 0:
		return &exit{exitInvalid, fmt.Errorf("INVALID: %s", list(o.invalid))}
	case len(o.failed) > 0:
		return &exit{exitThreshold, fmt.Errorf("thresholds failed: %s", list(o.failed))}
	}
	return nil
}
