package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// stopTimeout is how long a server under test may take to end before it is killed.
const stopTimeout = 30 * time.Second

// serverLog is the file of a run's folder with the output of a server that ended
// in the run.
const serverLog = "server.log"

// shownLines is how many lines of a server's output stand on stderr.
const shownLines = 20

// A server is the server under test that this command has started; nil where it
// has not. One goroutine uses it.
type server struct {
	process *target.Process
	sampler *target.Sampler
	told    bool // that it ended by itself
}

// startServer starts the server under test and waits until it is ready.
func startServer(ctx context.Context, what string, o target.Options) (*server, error) {
	o.StopTimeout = stopTimeout
	process, err := target.Start(ctx, o)
	if err != nil {
		return nil, startError(ctx, what, err)
	}
	return &server{process: process, sampler: target.NewSampler(process)}, nil
}

// startError says why the server under test is not there: it did not start, or
// a signal came first. What it wrote stands below.
func startError(ctx context.Context, what string, err error) error {
	var start *target.StartError
	if errors.As(err, &start) {
		err = fmt.Errorf("%w%s", err, lastLines(start.Output, 2)) // one stands in the error
	}
	err = fmt.Errorf("%s: %w", what, err)
	if ctx.Err() != nil {
		return &exit{exitInterrupted, err}
	}
	return err
}

// during carries out one run and samples the server meanwhile, where there is one.
// A server that ends is a *target.EndedError beside the result.
func (s *server) during(ctx context.Context, sc *scenario.Scenario, run func(ctx context.Context, began func(time.Time)) (*result.Result, error)) (*result.Result, error) {
	if s == nil {
		return run(ctx, nil)
	}
	res, err := s.sampler.During(ctx, sc, run)
	var ended *target.EndedError
	if s.told = errors.As(err, &ended); s.told && res == nil {
		err = fmt.Errorf("%w%s", err, lastLines(ended.Output, 2)) // there is no folder for it
	}
	return res, err
}

// stop stops the server even when ctx has ended, and says so when it ended by
// itself before that.
func (s *server) stop(ctx context.Context) error {
	alive := s.sampler.Alive()
	err := stopServer(ctx, s.process)
	if end, ok := s.process.Ended(); ok && !alive && !s.told {
		err = errors.Join(err, endedByItself("the server under test", end, s.process.Output()))
	}
	return err
}

// endedByItself says how a process ended that was not asked to.
func endedByItself(what string, end target.Exit, output string) error {
	return fmt.Errorf("%s %s%s", what, end, lastLines(output, 1))
}

// stopServer stops a process even when ctx has ended.
func stopServer(ctx context.Context, process *target.Process) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*stopTimeout)
	defer cancel()
	if err := process.Stop(ctx); err != nil {
		return fmt.Errorf("stop the server under test: %w", err)
	}
	return nil
}

// lastLines is the end of a server's output, to stand below an error; empty where
// there are fewer lines than least.
func lastLines(output string, least int) string {
	output = strings.TrimRight(output, "\n")
	lines := strings.Split(output, "\n")
	if output == "" || len(lines) < least {
		return ""
	}
	return "\nits last lines:\n" + strings.Join(lines[max(0, len(lines)-shownLines):], "\n")
}
