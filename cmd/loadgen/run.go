package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/driver"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// runFlags are the flags of run.
type runFlags struct {
	scenarioFlags
	envelope envelopeFlag
	sink     sinkFlags
	out      string
	start    string
	ready    string
	remote   bool
	spin     bool
	quiet    bool
}

// scenarioFlags are the flags that change what a scenario file says.
type scenarioFlags struct {
	target      string
	environment string
	vars        []string
	duration    time.Duration
	rate        string

	durationGiven func() bool
}

func (f *scenarioFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.target, "target", "", "base URL of the target, instead of the scenario's")
	cmd.Flags().StringVar(&f.environment, "environment", "", "`name` of the scenario's environment that goes over the file")
	cmd.Flags().StringArrayVarP(&f.vars, "env", "e", nil, "`NAME=VALUE` for ${NAME} in the scenario; may be repeated")
	f.durationGiven = func() bool { return cmd.Flags().Changed("duration") }
	cmd.Flags().DurationVarP(&f.duration, "duration", "d", 0, "measured duration, instead of the scenario's")
	cmd.Flags().StringVar(&f.rate, "rate", "", "constant arrival rate such as 50/s, instead of the scenario's")
}

// options turns the flags into how a scenario is to be read.
func (f *scenarioFlags) options(env env) (scenario.Options, error) {
	o := scenario.Options{Environment: f.environment, Target: f.target, Duration: scenario.Duration(f.duration), Metrics: driver.Metrics(), Local: driver.LocalAddress}
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
	if f.durationGiven() && f.duration <= 0 {
		return o, usage(fmt.Errorf("--duration %s: expected a time above 0", f.duration))
	}
	if f.rate != "" {
		rate, err := scenario.ParseRate(f.rate)
		if err != nil {
			return o, usage(fmt.Errorf("--rate: %w", err))
		}
		if rate == 0 {
			return o, usage(fmt.Errorf("--rate %s: expected a rate above 0", f.rate))
		}
		o.Rate = rate
	}
	return o, nil
}

// loadScenarios reads all files and reports what is wrong with any of them.
func loadScenarios(paths []string, o scenario.Options) ([]*scenario.Scenario, error) {
	return loadAll(paths, func(path string) ([]*scenario.Scenario, error) {
		sc, err := scenario.ReadFile(path, o)
		return []*scenario.Scenario{sc}, err
	})
}

// loadAll reads all files by read, which gives the scenarios of one.
func loadAll(paths []string, read func(path string) ([]*scenario.Scenario, error)) ([]*scenario.Scenario, error) {
	var scenarios []*scenario.Scenario
	var errs []error
	for _, p := range paths {
		of, err := read(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, sc := range of {
			if _, err := driver.Plan(sc, driver.Options{}); err != nil { // what only the driver can refuse
				errs = append(errs, withoutSecrets(err, of))
				continue
			}
			scenarios = append(scenarios, sc)
		}
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
	f.envelope.register(cmd)
	f.sink.register(cmd)
	cmd.Flags().StringVar(&f.out, "out", "reports", "folder that the run's own folder is written to")
	cmd.Flags().StringVar(&f.start, "start", "", "`command` that starts the server under test; it is stopped after the run")
	cmd.Flags().StringVar(&f.ready, "ready", "", "`URL` that answers 2xx once the started server is ready")
	cmd.Flags().BoolVar(&f.remote, "allow-remote", false, "send also to what is not this machine, and say first how much")
	spinFlag(cmd, &f.spin)
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
	if err := newGuard(f.remote, cmd.ErrOrStderr()).check(ctx, scenarios); err != nil {
		return err
	}
	defer func() { err = withoutSecrets(err, scenarios) }()
	envelope, err := f.envelope.find()
	if err != nil {
		return err
	}
	own, err := f.sink.open(scenarios)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSink(own, cmd.ErrOrStderr())) }()
	var under *server
	if f.start != "" {
		if under, err = startServer(ctx, "start the server under test", target.Options{Shell: f.start, Env: sinkEnv(own), Ready: f.ready}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, under.stop(ctx)) }()
	}
	console := newConsole(cmd, env, f.quiet)
	return measureAll(ctx, scenarios, conditions{envelope, f.spin, under, own}, console, func(res *result.Result, files map[string][]byte) error {
		dir, err := result.SaveRun(f.out, res.ID, files)
		if dir == "" {
			return err
		}
		return errors.Join(err, console.report(res, dir))
	})
}
