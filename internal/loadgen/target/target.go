// Package target starts, awaits and stops the server under test.
//
// A process runs in a process group of its own, so that a Ctrl-C meant for the
// load generator does not reach it and a stop reaches all it has started. Its
// standard output and error are read as they come; the last of them is kept,
// because that is what explains a server that would not start.
//
// While a run goes on, a Sampler reads what the whole process tree uses.
//
// It knows nothing of drivers: what is sent to the server is not its affair.
package target

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Defaults of Options.
const (
	DefaultReadyTimeout = 30 * time.Second
	DefaultStopTimeout  = 10 * time.Second
)

// abandonAfter is how long a server that never became ready has to obey SIGTERM.
const abandonAfter = 2 * time.Second

// Options say what to start. Exactly one of Command and Shell is set.
type Options struct {
	// Command is the program and its arguments.
	Command []string
	// Shell is a line for sh -c. A line that is one plain command replaces the
	// shell, so that its exit status and signals are the command's own.
	Shell string
	// Env is added to this process's environment, as KEY=value. The server finds
	// EDGELOAD_STARTED there besides, by which its processes are known.
	Env []string
	// Dir is the working directory; default this process's own.
	Dir string
	// Ready is a URL that answers 2xx once the server can be tested; when empty
	// the server is taken for ready as soon as it runs.
	Ready string
	// ReadyTimeout bounds the wait for Ready; default DefaultReadyTimeout.
	ReadyTimeout time.Duration
	// StopTimeout is how long Stop waits between SIGTERM and SIGKILL; default
	// DefaultStopTimeout.
	StopTimeout time.Duration
	// Output receives what the process writes, from one goroutine, until Stop
	// returns. A slow one slows the process; one that fails is written to no more.
	Output io.Writer
}

// A StartError is why a server could not be put under test.
type StartError struct {
	Command string // without credentials
	Err     error
	Output  string // the last of what it wrote
}

// Error is one line; it ends in the last line the process wrote, if any.
func (e *StartError) Error() string {
	s := fmt.Sprintf("start %q: %v", e.Command, e.Err)
	if line := lastLine(e.Output); line != "" {
		s += "; its last output: " + line
	}
	return s
}

// Unwrap returns the reason.
func (e *StartError) Unwrap() error { return e.Err }

// name is the command for people: as given, without credentials.
func (o Options) name() string {
	if o.Shell != "" {
		return Redacted(o.Shell)
	}
	return Redacted(strings.Join(o.Command, " "))
}

// lastLine returns the last line of s that is not blank, cut to a length that
// an error can hold.
func lastLine(s string) string {
	const longest = 300
	s = strings.TrimSpace(s)
	s = strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

// Start starts the server and returns once it is ready; Stop must be called on
// the process it returns. When the server exits before that, does not become
// ready in time, or ctx ends, nothing is left running and the error is a
// *StartError with what the server wrote last.
//
// Something that answers at Ready before the server is started is an error:
// it would be tested in the server's place.
func Start(ctx context.Context, o Options) (*Process, error) {
	argv, err := o.argv()
	if err != nil {
		return nil, err
	}
	name := o.name()
	if o.ReadyTimeout <= 0 {
		o.ReadyTimeout = DefaultReadyTimeout
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	ready, err := newProbe(o.Ready)
	if err != nil {
		return nil, &StartError{Command: name, Err: err}
	}
	defer ready.close()
	if answer, err := ready.ask(ctx); err == nil {
		return nil, &StartError{Command: name, Err: fmt.Errorf("%s already answers (%s) before the server is started", o.Ready, answer)}
	}
	if err := ctx.Err(); err != nil {
		return nil, &StartError{Command: name, Err: err}
	}

	p, err := startProcess(argv, o)
	if err != nil {
		return nil, &StartError{Command: name, Err: err}
	}
	if err := p.await(ctx, ready, o.ReadyTimeout); err != nil {
		// Not ctx: nothing may be left behind because it has ended.
		if stopErr := p.stop(context.Background(), min(o.StopTimeout, abandonAfter)); stopErr != nil {
			err = fmt.Errorf("%w; %w", err, stopErr)
		}
		return nil, &StartError{Command: name, Err: err, Output: p.Output()}
	}
	return p, nil
}

// FreeAddr returns a loopback address, host and port, that nothing listened on
// a moment ago. Another process may take it before the caller does.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return addr, nil
}
