package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/knownanswer"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// targetCommand is the hidden command that calibrate runs itself again as.
const targetCommand = "calibrate-target"

// maxBusy bounds the busy loops.
const maxBusy = 64

func newCalibrateTarget() *cobra.Command {
	var plain, secure, http2 string
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
			on, err := listen(plain, secure, http2)
			if err != nil {
				return err
			}
			var beside sync.WaitGroup
			defer beside.Wait()
			defer cancel() // a server that fails ends the loops
			beside.Go(func() { knownanswer.Busy(ctx, busy) })
			return new(knownanswer.Server).Serve(ctx, on)
		},
	}
	cmd.Flags().StringVar(&plain, "listen", "127.0.0.1:0", "address to listen on, without TLS")
	cmd.Flags().StringVar(&secure, "listen-tls", "127.0.0.1:0", "address to listen on for HTTP/1.1 over TLS")
	cmd.Flags().StringVar(&http2, "listen-http2", "127.0.0.1:0", "address to listen on for HTTP/2 over TLS")
	cmd.Flags().IntVar(&busy, "busy", 0, "cores to occupy beside serving")
	cmd.Flags().DurationVar(&life, "for", time.Minute, "end by itself after this time")
	return cmd
}

// listen opens all of the server's sockets, or none.
func listen(plain, secure, http2 string) (on knownanswer.Listeners, err error) {
	for _, of := range []struct {
		address string
		l       *net.Listener
	}{{plain, &on.Plain}, {secure, &on.TLS}, {http2, &on.HTTP2}} {
		opened, err := net.Listen("tcp", of.address)
		if err != nil {
			return on, errors.Join(fmt.Errorf("listen on %s: %w", of.address, err), on.Close())
		}
		*of.l = opened
	}
	return on, nil
}

// An answerer is the known-answer server in a process of its own.
type answerer struct {
	process *target.Process // nil while none runs
	bases   map[result.Transport]string
	busy    int
	life    time.Duration
}

// with makes sure that the server runs beside so many busy loops and returns its
// base URL for a transport.
func (a *answerer) with(ctx context.Context, busy int, over result.Transport) (string, error) {
	if a.process != nil && a.busy == busy {
		return a.bases[over], nil
	}
	if err := a.stop(ctx); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find loadgen itself: %w", err)
	}
	var addresses [3]string
	for i := range addresses {
		if addresses[i], err = target.FreeAddr(); err != nil {
			return "", err
		}
	}
	plain, secure, http2 := addresses[0], addresses[1], addresses[2]
	a.busy = busy
	a.bases = map[result.Transport]string{
		result.Plain: "http://" + plain, result.TLS: "https://" + secure, result.HTTP2: "https://" + http2,
	}
	a.process, err = target.Start(ctx, target.Options{
		Command: []string{self, targetCommand, "--listen", plain, "--listen-tls", secure, "--listen-http2", http2,
			"--busy", strconv.Itoa(busy), "--for", a.life.String()},
		Ready:       a.bases[result.Plain] + knownanswer.PathHealth,
		StopTimeout: stopTimeout,
	})
	if err != nil {
		return "", startError(ctx, "start the known-answer server", err)
	}
	return a.bases[over], nil
}

// stop ends the server that runs, if any.
func (a *answerer) stop(ctx context.Context) error {
	if a.process == nil {
		return nil
	}
	process := a.process
	a.process = nil
	end, early := process.Ended()
	if err := stopServer(ctx, process); err != nil || !early {
		return err
	}
	return endedByItself("the known-answer server", end, process.Output())
}
