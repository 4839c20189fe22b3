package target

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start starts a helper that must become ready, and stops it after the test.
func start(t *testing.T, o Options) *Process {
	t.Helper()
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func stop(t *testing.T, p *Process) Exit {
	t.Helper()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, ok := p.Ended()
	if !ok {
		t.Fatal("stopped, but not ended")
	}
	return e
}

func TestStartAndStop(t *testing.T) {
	addr := freeAddr(t)
	argv := self(t, "serve", addr, "204")
	for name, o := range map[string]Options{
		"command":           {Command: argv},
		"shell line":        {Shell: quoted(argv)},
		"shell, plain":      {Shell: strings.Join(argv, " ")},
		"shell, assignment": {Shell: "X='1 2' " + strings.Join(argv, " ")},
		"shell, list":       {Shell: "cd . && " + strings.Join(argv, " ") + " 2>&1"},
		"shell, not last":   {Shell: strings.Join(argv, " ") + "; exit $?"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			o.Ready = "http://" + addr + "/healthz"
			o.Env = []string{"GREETING=hello"}
			o.Output = &out
			p := start(t, o)
			if !answers(addr) {
				t.Error("ready, but does not answer")
			}
			select {
			case <-p.Exited():
				t.Error("exited before Stop")
			default:
			}
			e := stop(t, p)
			want := Exit{Status: "exit status 0"}
			if name == "shell, not last" { // SIGTERM ends the shell, the server drains all the same
				want = Exit{Code: -1, Status: "signal: terminated"}
			}
			if d := cmp.Diff(want, e); d != "" {
				t.Errorf("exit (-want +got):\n%s", d)
			}
			<-p.Exited()
			if want := "greeting: hello\ndrained\n"; p.Output() != want || out.String() != want {
				t.Errorf("kept %q, passed on %q; want %q", p.Output(), out.String(), want)
			}
			if answers(addr) {
				t.Error("still answers after Stop")
			}
		})
	}
}

func TestStopKillsWhatIgnoresSIGTERM(t *testing.T) {
	addr := freeAddr(t)
	for name, shell := range map[string]string{"plain": "", "under a shell": " ; exit $?"} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{
				Shell: strings.Join(self(t, "stubborn", addr), " ") + shell,
				Ready: "http://" + addr, StopTimeout: 100 * time.Millisecond,
			})
			begin := time.Now()
			e := stop(t, p)
			if !e.Killed || e.Early || e.Code != -1 {
				t.Errorf("exit %+v, want killed", e)
			}
			if d := time.Since(begin); d < 100*time.Millisecond || d > 5*time.Second {
				t.Errorf("stopped after %v", d)
			}
			if answers(addr) {
				t.Error("still answers after Stop")
			}
		})
	}
}

func TestStopWithAnEndedContextKillsAtOnce(t *testing.T) {
	addr := freeAddr(t)
	p := start(t, Options{Command: self(t, "stubborn", addr), Ready: "http://" + addr, StopTimeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	begin := time.Now()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
	if e, ok := p.Ended(); !ok || !e.Killed {
		t.Errorf("exit %+v, ended %t", e, ok)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestStopTwiceAndAtOnce(t *testing.T) {
	addr := freeAddr(t)
	p := start(t, Options{Command: self(t, "serve", addr, "200"), Ready: "http://" + addr})
	if e, ok := p.Ended(); ok {
		t.Errorf("ended already: %+v", e)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := p.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			if e, _ := p.Ended(); e != (Exit{Status: "exit status 0"}) {
				t.Errorf("exit %+v", e)
			}
		})
	}
	wg.Wait()
}

func TestProcessThatEndsByItself(t *testing.T) {
	p := start(t, Options{Command: self(t, "fail")})
	select {
	case <-p.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("Exited is not closed")
	}
	e := stop(t, p)
	if want := (Exit{Code: 3, Status: "exit status 3", Early: true}); e != want {
		t.Errorf("exit %+v, want %+v", e, want)
	}
	if want := "ended by itself: exit status 3"; e.String() != want {
		t.Errorf("%q, want %q", e, want)
	}
}

func TestServerLeftInTheGroupIsStoppedToo(t *testing.T) {
	addr := freeAddr(t)
	p := start(t, Options{Command: self(t, "background", addr)})
	<-p.Exited()
	eventually(t, "the server left behind answers", func() bool { return answers(addr) })
	e := stop(t, p)
	if want := (Exit{Status: "exit status 0", Early: true}); e != want {
		t.Errorf("exit %+v, want %+v", e, want)
	}
	if answers(addr) {
		t.Error("still answers after Stop")
	}
	if !strings.HasSuffix(p.Output(), "drained\n") {
		t.Errorf("output %q", p.Output())
	}
}

func TestStartFails(t *testing.T) {
	addr := freeAddr(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	ready := "http://" + addr
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		o      Options
		want   []string // all in the error
		output string
	}{
		"nothing to start": {o: Options{Shell: " "}, want: []string{"no command"}},
		"two things":       {o: Options{Shell: "true", Command: []string{"true"}}, want: []string{"both"}},
		"no such program":  {o: Options{Command: []string{"/nonexistent/server"}}, want: []string{`start "/nonexistent/server"`, "no such file"}},
		"no such folder":   {o: Options{Command: []string{"true"}, Dir: "/nonexistent"}, want: []string{"no such file"}},
		"no URL":           {o: Options{Shell: "true", Ready: "127.0.0.1:80"}, want: []string{"ready URL"}},
		"other scheme":     {o: Options{Shell: "true", Ready: "ftp://x"}, want: []string{"expected http://"}},
		"exits early": {o: Options{Command: self(t, "fail"), Ready: ready},
			want:   []string{"exit status 3 before " + ready + " answered", "its last output: listen: address already in use"},
			output: "reading configuration\nlisten: address already in use\n"},
		"never ready": {o: Options{Command: self(t, "serve", addr, "503"), Ready: ready, ReadyTimeout: 500 * time.Millisecond},
			want: []string{"not ready within 500ms", ready, "answered 503 Service Unavailable"}, output: "greeting: \ndrained\n"},
		"never listens": {o: Options{Shell: "sleep 60", Ready: ready, ReadyTimeout: 200 * time.Millisecond},
			want: []string{"not ready within 200ms", "connection refused"}},
		"only 2xx is ready": {o: Options{Command: self(t, "serve", addr, "200"), Ready: ready + "/missing", ReadyTimeout: 500 * time.Millisecond},
			want: []string{"answered 404"}, output: "greeting: \ndrained\n"},
		"never ready and stubborn": {o: Options{Command: self(t, "stubborn", addr), Ready: ready + "/missing", ReadyTimeout: 300 * time.Millisecond, StopTimeout: 100 * time.Millisecond},
			want: []string{"not ready"}},
		"another answers": {o: Options{Shell: "sleep 60", Ready: other.URL}, want: []string{other.URL + " already answers (404 Not Found)"}},
		"cancelled":       {ctx: cancelled, o: Options{Shell: "sleep 60", Ready: ready}, want: []string{"context canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			begin := time.Now()
			p, err := Start(ctx, c.o)
			if err == nil {
				_ = p.Stop(context.Background())
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			if se := new(StartError); errors.As(err, &se) && se.Output != c.output {
				t.Errorf("output %q, want %q", se.Output, c.output)
			}
			if answers(addr) {
				t.Error("left a server behind")
			}
		})
	}
}

func TestStartCancelledWhileWaiting(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := Start(ctx, Options{Shell: "sleep 60", Ready: "http://" + freeAddr(t)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestOutputIsBounded(t *testing.T) {
	addr := freeAddr(t)
	p := start(t, Options{Command: self(t, "flood", addr), Ready: "http://" + addr, Output: failing{}})
	stop(t, p)
	out := p.Output()
	if len(out) > tailSize+100 || !strings.HasSuffix(out, "line 19999\n") {
		t.Errorf("%d bytes, ends in %q", len(out), out[max(0, len(out)-40):])
	}
	first, rest, _ := strings.Cut(out, "\n")
	if !strings.HasSuffix(first, "bytes before this were not kept]") || !strings.HasPrefix(rest, "line ") {
		t.Errorf("begins with %q and %q", first, rest[:40])
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFreeAddr(t *testing.T) {
	addr := freeAddr(t)
	if !strings.HasPrefix(addr, "127.0.0.1:") || strings.HasSuffix(addr, ":0") {
		t.Errorf("address %q", addr)
	}
}
