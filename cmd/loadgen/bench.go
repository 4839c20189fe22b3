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
	scenarios string
	server    string
	out       string
	quick     bool
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
	cmd.Flags().StringVar(&f.scenarios, "scenarios", "scenarios", "folder of the scenario files")
	cmd.Flags().StringVar(&f.server, "server", "", "reference-server program (default: beside loadgen, else in PATH)")
	cmd.Flags().StringVar(&f.out, "out", "reports", "folder that the run's own folder is written to")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "measure each scenario for "+quickDuration.String()+" only")
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
	flags := scenarioFlags{target: "http://" + addr}
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
	server, err := target.Start(ctx, target.Options{
		Command:     []string{program, "--listen", addr},
		Ready:       flags.target + "/healthz",
		StopTimeout: stopTimeout,
	})
	if err != nil {
		return fmt.Errorf("start the reference server: %w", err)
	}
	defer func() { err = errors.Join(err, stopServer(ctx, server)) }()
	return f.measureAll(ctx, scenarios, newConsole(cmd, env, f.quiet))
}

// measureAll runs the scenarios one after the other and writes one folder with
// a subfolder for each.
func (f *benchFlags) measureAll(ctx context.Context, scenarios []*scenario.Scenario, console *console) error {
	id := result.NewID(time.Now(), "bench")
	files := make(map[string][]byte)
	var results []*result.Result
	var worst outcome
	for _, sc := range scenarios {
		res, err := measure(ctx, sc, console)
		if err != nil {
			return err
		}
		of, err := runFiles(res)
		if err != nil {
			return err
		}
		for name, content := range of {
			files[filepath.Join(sc.Name, name)] = content
		}
		results = append(results, res)
		worst.add(res)
		if ctx.Err() != nil {
			break
		}
	}
	dir, err := result.SaveRun(f.out, id, files)
	if err != nil {
		return err
	}
	for _, res := range results {
		if err := console.report(res, filepath.Join(dir, res.Scenario.Name)); err != nil {
			return err
		}
	}
	return worst.err()
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
