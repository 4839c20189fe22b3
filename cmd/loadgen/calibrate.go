package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/calibrate"
	"github.com/edgeload/edgeload/internal/loadgen/driver"
	"github.com/edgeload/edgeload/internal/loadgen/knownanswer"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// calibrateFlags are the flags of calibrate.
type calibrateFlags struct {
	over        []string
	streams     []int
	rate        float64
	connections []int
	members     int
	messages    float64
	duration    time.Duration
	busy        int
	bound       time.Duration
	out         string
	chart       string
	format      string
	quiet       bool
}

func newCalibrate(env env) *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Measure how far loadgen errs on this machine, and up to what load",
		Long: `calibrate runs known load against a server with a known answer, a process of its
own, and compares what loadgen measured with the server's own instants. It
writes the envelope: the load up to which the errors' p99 stayed within the
bound on machines like this one. run and bench judge by it from then on.

Streams and rooms are run plain and over TLS, streams over HTTP/2 (and TLS) too;
each is a kind of its own in the envelope. Takes three minutes unless told less.`,
		Args: func(cmd *cobra.Command, args []string) error { return usage(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, env) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.over, "over", []string{string(result.Plain), string(result.TLS), string(result.HTTP2)}, "transports to sweep")
	flags.IntSliceVar(&f.streams, "streams", []int{100, 500, 2000}, "levels of streams at once; 0 for none")
	flags.Float64Var(&f.rate, "rate", 20, "events a second in each stream")
	flags.IntSliceVar(&f.connections, "connections", []int{100, 1000}, "levels of connections in rooms; 0 for none")
	flags.IntVar(&f.members, "members", 50, "members of a room")
	flags.Float64Var(&f.messages, "messages", 10, "messages a second in each room")
	flags.DurationVar(&f.duration, "duration", 2500*time.Millisecond, "measured part of each level")
	flags.IntVar(&f.busy, "busy", max(1, runtime.NumCPU()/2), "busy loops for the second half of the sweep; 0 leaves it out")
	flags.DurationVar(&f.bound, "bound", calibrate.DefaultBound, "what the p99 of each error is to stay within")
	flags.StringVar(&f.out, "out", "", "envelope `file` to write (default: edgeload/"+result.EnvelopeName("<fingerprint>")+" in the user's configuration folder)")
	flags.StringVar(&f.chart, "chart", "", "`prefix` of the pictures, as in <prefix>-streams-ttft.svg (default: the envelope's name without .json)")
	flags.StringVarP(&f.format, "format", "f", "text", "text or json")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress; the table only")
	return cmd
}

// noLevels is how a user leaves a protocol out.
func noLevels(levels []int) bool { return len(levels) == 1 && levels[0] == 0 }

// check refuses flags that make no sweep.
func (f *calibrateFlags) check() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	levels := func(flag string, levels []int, least int) {
		if noLevels(levels) {
			return
		}
		refuse(!slices.IsSorted(levels) || slices.ContainsFunc(levels, func(n int) bool { return n < least || n > 100_000 }),
			"--%s %v: expected numbers from %d to 100000, rising", flag, levels, least)
	}
	levels("streams", f.streams, 1)
	levels("connections", f.connections, 2)
	refuse(len(f.over) == 0, "--over: expected a transport")
	for _, t := range f.over {
		refuse(!slices.Contains([]result.Transport{result.Plain, result.TLS, result.HTTP2}, result.Transport(t)), "--over %s: expected plain, tls or http2", t)
	}
	refuse(len(f.over) > 0 && len(f.levels()) == 0, "--streams and --connections: expected a level in one of them (HTTP/2 has streams only)")
	refuse(!(f.rate >= .5 && f.rate <= 1000), "--rate %g: expected 0.5 to 1000 events a second", f.rate)
	refuse(!(f.messages >= .1 && f.messages <= 1000), "--messages %g: expected 0.1 to 1000 a second", f.messages)
	refuse(f.members < 2 || f.members > 10_000, "--members %d: expected 2 to 10000", f.members)
	refuse(f.duration < time.Second || f.duration > 5*time.Minute, "--duration %v: expected 1s to 5m", f.duration)
	refuse(f.busy < 0 || f.busy > maxBusy, "--busy %d: expected 0 to %d", f.busy, maxBusy)
	refuse(f.bound <= 0, "--bound %v: expected a time above 0", f.bound)
	refuse(f.format != "text" && f.format != "json", "--format %q: expected text or json", f.format)
	return errors.Join(errs...)
}

// levels is the sweep: everything without busy loops, then with them.
func (f *calibrateFlags) levels() []calibrate.Level {
	conditions := []int{0}
	if f.busy > 0 {
		conditions = append(conditions, f.busy)
	}
	var all []calibrate.Level
	for _, busy := range conditions {
		for _, over := range f.over {
			all = append(all, f.levelsOver(result.Transport(over), busy)...)
		}
	}
	return all
}

// levelsOver are the levels of one transport. Rooms have no HTTP/2.
func (f *calibrateFlags) levelsOver(over result.Transport, busy int) []calibrate.Level {
	var all []calibrate.Level
	if !noLevels(f.streams) {
		for _, n := range f.streams {
			all = append(all, calibrate.Level{
				Kind:     result.LoadKind{Protocol: scenario.SSE, Over: over},
				InFlight: n, PerSecond: f.rate, Busy: busy, Measured: f.duration,
			})
		}
	}
	if !noLevels(f.connections) && over != result.HTTP2 {
		for _, n := range f.connections {
			all = append(all, calibrate.Level{
				Kind:     result.LoadKind{Protocol: scenario.WebSocket, Over: over},
				InFlight: n, PerSecond: f.messages, Members: f.members, Busy: busy, Measured: f.duration,
			})
		}
	}
	return all
}

func (f *calibrateFlags) run(cmd *cobra.Command, env env) (err error) {
	ctx := cmd.Context()
	if err := f.check(); err != nil {
		return usage(err)
	}
	path := f.out
	if path == "" {
		dir, err := envelopeDir()
		if err != nil {
			return usage(fmt.Errorf("no folder for the envelope, name one with --out: %w", err))
		}
		path = filepath.Join(dir, result.EnvelopeName(result.ThisMachine().Fingerprint))
	}
	levels := f.levels()
	life := time.Minute
	for _, l := range levels {
		life += 2 * l.Took()
	}
	server := &answerer{life: life}
	defer func() { err = errors.Join(err, server.stop(ctx)) }()
	console := newConsole(cmd, env, f.quiet)
	envelope, err := calibrate.Sweep(ctx, calibrate.Options{
		Levels: levels,
		Bound:  f.bound,
		Run: func(ctx context.Context, l calibrate.Level) (*result.Result, error) {
			return runLevel(ctx, l, server, console)
		},
	})
	if err != nil {
		if ctx.Err() != nil {
			return &exit{exitInterrupted, fmt.Errorf("calibrate: %w", err)}
		}
		return fmt.Errorf("calibrate: %w", err)
	}
	if err := result.WriteEnvelope(path, envelope); err != nil {
		return err
	}
	pictures, err := f.draw(envelope, path)
	if err != nil {
		return err
	}
	return f.report(cmd, envelope, append([]string{path}, pictures...))
}

// runLevel does one level against the known-answer server.
func runLevel(ctx context.Context, l calibrate.Level, server *answerer, c *console) (*result.Result, error) {
	base, err := server.with(ctx, l.Busy, l.Kind.Over)
	if err != nil {
		return nil, err
	}
	if !c.quiet {
		_, _ = fmt.Fprintf(c.stderr, "%v, about %v\n", l, l.Took())
	}
	sc, err := l.Scenario(base, calibrate.Paths{Stream: knownanswer.PathStream, Room: knownanswer.PathRoom})
	if err != nil {
		return nil, err
	}
	plan, err := driver.Plan(sc, driver.Options{})
	if err != nil {
		return nil, err
	}
	defer relaxGC(ctx)()
	return plan.Run(ctx, result.NewID(time.Now(), sc.Name))
}

func (f *calibrateFlags) report(cmd *cobra.Command, e *result.Envelope, files []string) error {
	if f.format == "json" {
		b, err := e.Encode()
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(b)
		return err
	}
	if err := calibrate.WriteText(cmd.OutOrStdout(), e); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\nenvelope: %s\n", strings.Join(files, "\n          "))
	return err
}

// envelopeDir is where envelopes lie that no flag names.
func envelopeDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "edgeload"), nil
}

// An envelopeFlag names the envelope that runs are judged by.
type envelopeFlag struct{ path string }

func (f *envelopeFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "envelope", "", "calibrated envelope `file` to judge by (default: the one calibrate wrote for this machine, if any)")
}

// find reads the envelope for this machine: the file of the flag, or else what
// calibrate has left, and nil where it has left nothing.
func (f *envelopeFlag) find() (*result.Envelope, error) {
	here := result.ThisMachine().Fingerprint
	if f.path == "" {
		dir, err := envelopeDir()
		if err != nil {
			return nil, nil // a user without a folder has no envelope
		}
		e, err := result.FindEnvelope(dir, here)
		if errors.Is(err, fs.ErrPermission) {
			return nil, nil // nor has one who may not look
		}
		return e, err
	}
	e, err := result.ReadEnvelope(f.path)
	if err != nil {
		return nil, usage(fmt.Errorf("--envelope: %w", err))
	}
	if e.Machine.Fingerprint != here {
		return nil, usage(fmt.Errorf("--envelope %s: it is of machine %s and this is %s: run loadgen calibrate", f.path, e.Machine.Fingerprint, here))
	}
	return e, nil
}
