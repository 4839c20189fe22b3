// Command reference-server is a load test's target with a known answer: the
// guide's edge functions before an upstream simulator whose every instant is
// stated.
//
// Exit codes: 0 after an orderly stop, 1 when the server could not do its
// work, 2 for a bad flag or environment variable. The reason stands in one
// line on stderr. The first SIGINT or SIGTERM drains, the second ends the
// process at once.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

// run is the command without the process around it: it serves until ctx ends
// or a signal comes, and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	conf, err := parse(args, getenv, stdout)
	if err != nil {
		return complain(stderr, err, exitUsage)
	}
	if conf == nil {
		return exitOK
	}
	program, err := assemble(conf, stderr)
	if err != nil {
		return complain(stderr, err, exitUsage)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from the first signal on, the next one kills
	if err := program.serve(ctx, stdout); err != nil {
		return complain(stderr, err, exitFailed)
	}
	return exitOK
}

func complain(stderr io.Writer, err error, code int) int {
	reason := strings.ReplaceAll(err.Error(), "\n", "; ")
	_, _ = fmt.Fprintln(stderr, "reference-server:", reason) // nowhere else to say it
	return code
}
