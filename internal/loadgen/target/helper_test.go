package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
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
	case "burn": // D: use so much CPU, say so, and wait
		burn(args[0])
		fmt.Println("burnt")
		<-ctx.Done()
		return nil
	case "spend": // D: use so much CPU and end
		burn(args[0])
		return nil
	case "forks": // N D: N children one after the other, each spends D and ends; say so, and wait
		for range number(args[0]) {
			if err := exec.Command(os.Args[0], "spend", args[1]).Run(); err != nil {
				return err
			}
		}
		fmt.Println("burnt")
		<-ctx.Done()
		return nil
	case "hold": // MIB FDS THREADS: hold them, say so, and wait
		held := hold(number(args[0])<<20, number(args[1]), number(args[2]))
		fmt.Println("holding")
		<-ctx.Done()
		runtime.KeepAlive(held)
		return nil
	case "daemon": // D: leave one behind in a session of its own, whose parent ends at once, and wait
		c := exec.Command(os.Args[0], "daemonise", args[0])
		c.Stdout = os.Stdout
		if err := c.Run(); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	case "daemonise":
		c := exec.Command(os.Args[0], "daemonised", args[0])
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		c.Stdout = os.Stdout
		return c.Start()
	case "daemonised": // D: use so much CPU, say so with the own number, and wait
		burn(args[0])
		fmt.Println("daemon", os.Getpid())
		<-ctx.Done()
		return nil
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

// burn uses so much CPU time, of all threads.
func burn(d string) {
	want, err := time.ParseDuration(d)
	if err != nil {
		panic(err)
	}
	for {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			panic(err)
		}
		if time.Duration(u.Utime.Nano()+u.Stime.Nano()) >= want {
			return
		}
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// hold returns touched memory and open files, and leaves threads behind.
func hold(bytes, fds, threads int) any {
	var memory []byte
	if bytes > 0 { // not Go's heap, which the race detector doubles and more
		var err error
		if memory, err = syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
			panic(err)
		}
	}
	for i := 0; i < len(memory); i += 1024 {
		memory[i] = 1
	}
	var files []*os.File
	for range fds {
		f, err := os.Open(os.DevNull)
		if err != nil {
			panic(err)
		}
		files = append(files, f)
	}
	var locked sync.WaitGroup
	for range threads {
		locked.Add(1)
		go func() {
			runtime.LockOSThread()
			locked.Done()
			select {}
		}()
	}
	locked.Wait()
	return []any{memory, files}
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
