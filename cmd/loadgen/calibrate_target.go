package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/knownanswer"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// targetCommand is the hidden command that calibrate runs itself again as.
const targetCommand = "calibrate-target"

// maxBusy bounds the busy loops.
const maxBusy = 64

func newCalibrateTarget() *cobra.Command {
	var listen string
	var busy int
	var life time.Duration
	cmd := &cobra.Command{
		Use:    targetCommand,
		Short:  "The known-answer server of calibrate",
		Hidden: true,
		Args:   func(cmd *cobra.Command, args []string) error { return usage(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if busy < 0 || busy > maxBusy || life <= 0 {
				return usage(fmt.Errorf("--busy %d --for %v: expected 0 to %d loops and a time above 0", busy, life, maxBusy))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), life)
			defer cancel()
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listen on %s: %w", listen, err)
			}
			var beside sync.WaitGroup
			defer beside.Wait()
			defer cancel() // a server that fails ends the loops
			beside.Go(func() { knownanswer.Busy(ctx, busy) })
			return new(knownanswer.Server).Serve(ctx, l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to listen on")
	cmd.Flags().IntVar(&busy, "busy", 0, "cores to occupy beside serving")
	cmd.Flags().DurationVar(&life, "for", time.Minute, "end by itself after this time")
	return cmd
}

// An answerer is the known-answer server in a process of its own.
type answerer struct {
	process *target.Process // nil while none runs
	base    string
	busy    int
	life    time.Duration
}

// with makes sure that the server runs beside so many busy loops and returns its
// base URL.
func (a *answerer) with(ctx context.Context, busy int) (string, error) {
	if a.process != nil && a.busy == busy {
		return a.base, nil
	}
	if err := a.stop(ctx); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find loadgen itself: %w", err)
	}
	addr, err := target.FreeAddr()
	if err != nil {
		return "", err
	}
	a.base, a.busy = "http://"+addr, busy
	a.process, err = target.Start(ctx, target.Options{
		Command:     []string{self, targetCommand, "--listen", addr, "--busy", strconv.Itoa(busy), "--for", a.life.String()},
		Ready:       a.base + knownanswer.PathHealth,
		StopTimeout: stopTimeout,
	})
	if err != nil {
		return "", startError(ctx, "start the known-answer server", err)
	}
	return a.base, nil
}

// stop ends the server that runs, if any.
func (a *answerer) stop(ctx context.Context) error {
	if a.process == nil {
		return nil
	}
	process := a.process
	a.process = nil
	return stopServer(ctx, process)
}
