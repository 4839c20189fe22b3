package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is its own server under test: with this variable set it does
// what the first argument says.
const helperEnv = "EDGELOAD_TARGET_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		if err := helper(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// helper is bounded in time, so that no failing test leaves one behind.
func helper(what string, args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch what {
	case "serve": // ADDR STATUS: answer with it, 404 on /missing, and end well on SIGTERM
		fmt.Println("greeting:", os.Getenv("GREETING"))
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		if err := serve(ctx, args[0], args[1]); err != nil {
			return err
		}
		fmt.Println("drained")
		return nil
	case "stubborn": // ADDR: serve whatever the signal
		signal.Ignore(syscall.SIGTERM)
		return serve(ctx, args[0], "200")
	case "fail": // write and exit with 3
		fmt.Println("reading configuration")
		fmt.Fprintln(os.Stderr, "listen: address already in use")
		os.Exit(3)
	case "flood": // ADDR: write more than is kept, then serve
		for n := range 20_000 {
			fmt.Println("line", n)
		}
		return serve(ctx, args[0], "200")
	case "background": // ADDR: leave a server behind in the group and end
		c := exec.Command(os.Args[0], "serve", args[0], "200")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		return c.Start()
	case "parent": // ADDR: put a server under test, say so, and wait to be killed
		p, err := Start(ctx, Options{Command: []string{os.Args[0], "stubborn", args[0]}, Ready: "http://" + args[0]})
		if err != nil {
			return err
		}
		fmt.Println("pid", p.PID())
		<-ctx.Done()
		return ctx.Err()
	}
	return fmt.Errorf("unknown helper %q", what)
}

func serve(ctx context.Context, addr, status string) error {
	s := &http.Server{Addr: addr, ReadHeaderTimeout: time.Second}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := http.StatusNotFound
		if r.URL.Path != "/missing" {
			_, _ = fmt.Sscan(status, &code)
		}
		w.WriteHeader(code)
	})
	failed := make(chan error, 1)
	go func() { failed <- s.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		if err := s.Shutdown(context.Background()); err != nil {
			return err
		}
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// self is a command that runs a helper, and what Options.Env needs for it.
func self(t *testing.T, args ...string) []string {
	t.Helper()
	t.Setenv(helperEnv, "1")                // inherited, so that a helper's children are helpers too
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each helper takes a second to end under -race
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{exe}, args...)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func quoted(argv []string) string { return "'" + strings.Join(argv, "' '") + "'" }

// answers reports whether something serves at addr.
func answers(addr string) bool {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + addr)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return true
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within 10s: %s", what)
}
