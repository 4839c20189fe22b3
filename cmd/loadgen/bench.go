package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// quickDuration is the measured part of each scenario with --quick.
const quickDuration = 5 * time.Second

// benchFlags are the flags of bench.
type benchFlags struct {
	envelope  envelopeFlag
	scenarios string
	server    string
	out       string
	quick     bool
	spin      bool
	quiet     bool
}

func newBench(env env) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Start the reference server, run every file in scenarios/ against it and report",
		Args:  func(cmd *cobra.Command, args []string) error { return usage(cobra.NoArgs(cmd, args)) },
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd, env) },
	}
	f.envelope.register(cmd)
	cmd.Flags().StringVar(&f.scenarios, "scenarios", "scenarios", "folder of the scenario files")
	cmd.Flags().StringVar(&f.server, "server", "", "reference-server program (default: beside loadgen, else in PATH)")
	cmd.Flags().StringVar(&f.out, "out", "reports", "folder that the run's own folder is written to")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "measure each scenario for "+quickDuration.String()+" only")
	spinFlag(cmd, &f.spin)
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no progress; the verdicts and the reports only")
	return cmd
}

func (f *benchFlags) run(cmd *cobra.Command, env env) (err error) {
	ctx := cmd.Context()
	program, err := f.program()
	if err != nil {
		return usage(err)
	}
	paths, err := filepath.Glob(filepath.Join(f.scenarios, "*.yaml"))
	if err != nil {
		return usage(err)
	}
	if len(paths) == 0 {
		return usage(fmt.Errorf("--scenarios %s: no *.yaml file there", f.scenarios))
	}
	addr, err := target.FreeAddr()
	if err != nil {
		return err
	}
	secret, keys, err := referenceKeys(ctx, program)
	if err != nil {
		return err
	}
	flags := scenarioFlags{target: "http://" + addr, vars: keys, durationGiven: func() bool { return f.quick }}
	if f.quick {
		flags.duration = quickDuration
	}
	o, err := flags.options(env)
	if err != nil {
		return err
	}
	scenarios, err := loadScenarios(paths, o)
	if err != nil {
		return err
	}
	defer func() { err = withoutSecrets(err, scenarios) }()
	if err := sameName(scenarios, paths); err != nil {
		return err
	}
	envelope, err := f.envelope.find()
	if err != nil {
		return err
	}
	own, err := (&sinkFlags{}).open(scenarios)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSink(own, cmd.ErrOrStderr())) }()
	under, err := startServer(ctx, "start the reference server", target.Options{
		Command: []string{program, "--listen", addr},
		Env:     append(secret, sinkEnv(own)...),
		Ready:   flags.target + "/healthz",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, under.stop(ctx)) }()
	return f.measure(ctx, scenarios, conditions{envelope, f.spin, under, own}, newConsole(cmd, env, f.quiet))
}

// measure runs the scenarios one after the other and writes one folder with a
// subfolder for each, also when one of them could not be measured.
func (f *benchFlags) measure(ctx context.Context, scenarios []*scenario.Scenario, under conditions, console *console) error {
	id := result.NewID(time.Now(), "bench")
	all := make(map[string][]byte)
	var results []*result.Result
	err := measureAll(ctx, scenarios, under, console, func(res *result.Result, files map[string][]byte) error {
		for name, content := range files {
			all[filepath.Join(res.Scenario.Name, name)] = content
		}
		results = append(results, res)
		return nil
	})
	if len(results) == 0 {
		return err
	}
	dir, saveErr := result.SaveRun(f.out, id, all)
	if dir == "" {
		return errors.Join(err, saveErr)
	}
	err = errors.Join(err, saveErr)
	for _, res := range results {
		err = errors.Join(err, console.report(res, filepath.Join(dir, res.Scenario.Name)))
	}
	return err
}

// sameName refuses two scenarios whose runs would share a folder.
func sameName(scenarios []*scenario.Scenario, paths []string) error {
	first := make(map[string]string)
	for i, sc := range scenarios {
		if other, ok := first[sc.Name]; ok {
			return usage(fmt.Errorf("%s and %s have the same name, %q", other, paths[i], sc.Name))
		}
		first[sc.Name] = paths[i]
	}
	return nil
}

// program finds reference-server.
func (f *benchFlags) program() (string, error) {
	const name = "reference-server"
	if f.server != "" {
		return f.server, nil
	}
	if self, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(self), name); executable(beside) {
			return beside, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("no %s beside loadgen or in PATH: build both with make build, or name it with --server", name)
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}
