package main

import (
	"context"
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// stopTimeout is how long a server under test may take to end before it is killed.
const stopTimeout = 30 * time.Second

// startError says why the server under test is not there: it did not start, or
// a signal came first.
func startError(ctx context.Context, what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	if ctx.Err() != nil {
		return &exit{exitInterrupted, err}
	}
	return err
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
