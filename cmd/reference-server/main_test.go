package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/wire"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"reference-server": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refuses": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec("reference-server", args[1:]...)
				exit := (*exec.ExitError)(nil)
				if !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
					ts.Fatalf("reference-server %s: %v, want exit code %d", args[1:], err, exitUsage)
				}
				reason := ts.ReadFile("stderr")
				if strings.Count(reason, "\n") != 1 || !regexp.MustCompile(args[0]).MatchString(reason) {
					ts.Fatalf("reference-server %s: said %q, want one line that matches %q", args[1:], reason, args[0])
				}
			},
		},
	})
}

// server is the command while it runs in this process.
type server struct {
	url  string
	stop context.CancelFunc
	code chan int
	log  *bytes.Buffer // to be read once code has come
}

func start(t *testing.T, args ...string) *server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &server{stop: stop, code: make(chan int, 1), log: new(bytes.Buffer)}
	out, in := io.Pipe()
	go func() {
		s.code <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), os.Getenv, in, s.log)
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no line on stdout: %v; log:\n%s", err, s.log)
	}
	var found bool
	if s.url, found = strings.CutPrefix(strings.TrimSpace(line), "listening on "); !found {
		t.Fatalf("said %q", line)
	}
	return s
}

// ended waits for the command and checks its exit code.
func (s *server) ended(t *testing.T) {
	t.Helper()
	select {
	case code := <-s.code:
		if code != exitOK {
			t.Errorf("exit code %d; log:\n%s", code, s.log)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the command did not end")
	}
}

func prompt(t *testing.T, c *http.Client, s *server, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+wire.PathStreamAI, strings.NewReader(`{"prompt":"hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A stream and a socket are open when the end is asked for: the stream
// finishes, the socket is told 1001, nothing is left behind.
func TestStopDrains(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("REFSERVER_SIM_TTFT", "constant:100ms")
	t.Setenv("REFSERVER_SIM_GAP", "constant:1h") // the flag beats it
	s := start(t, "--sim-gap", "constant:2ms", "--sim-tokens", "constant:100", "--log-format", "json", "--relay-slow", "drop-oldest")
	socket, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+wire.PathWSRelay+"?room=r", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	_ = resp.Body.Close()
	c := &http.Client{Transport: new(http.Transport)}
	defer c.CloseIdleConnections()
	begun := time.Now()
	stream := prompt(t, c, s)
	s.stop()
	if _, _, err := socket.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("the socket ended with %v, want 1001", err)
	}
	body, err := io.ReadAll(stream.Body)
	_ = stream.Body.Close()
	if err != nil || strings.Count(string(body), "event: content_block_delta") != 100 || !strings.Contains(string(body), "message_stop") {
		t.Errorf("the stream did not finish: %v\n%s", err, body)
	}
	if took := time.Since(begun); took < 298*time.Millisecond {
		t.Errorf("the stream took %v, want 298ms and more", took)
	}
	s.ended(t)
	if !strings.Contains(s.log.String(), `"msg":"stopped"`) || !strings.Contains(s.log.String(), `"gap":"constant:2ms"`) {
		t.Errorf("log:\n%s", s.log)
	}
}

func TestSignalEndsTheCommand(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := start(t, "--log-level", "error")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ended(t)
}

func TestMetricsShowEveryPart(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := start(t, "--sim-ttft", "constant:0s", "--sim-gap", "constant:0s")
	c := &http.Client{Transport: new(http.Transport)}
	defer c.CloseIdleConnections()
	stream := prompt(t, c, s, wire.HeaderSimTokens, "constant:7")
	_, _ = io.Copy(io.Discard, stream.Body)
	_ = stream.Body.Close()
	resp, err := c.Get(s.url + wire.PathMetrics)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"refserver_llm_tokens_total 7", "refserver_llm_send_lateness_seconds_count 7", "refserver_relay_peers 0",
		`refserver_function_requests_total{code="200",function="stream-ai"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	s.stop()
	s.ended(t)
}

func TestTakenAddressFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := start(t)
	var said bytes.Buffer
	addr := strings.TrimPrefix(s.url, "http://")
	if code := run(context.Background(), []string{"--listen", addr}, os.Getenv, io.Discard, &said); code != exitFailed || !strings.Contains(said.String(), "listen on "+addr) {
		t.Errorf("exit code %d: %s", code, said.String())
	}
	s.stop()
	s.ended(t)
}

// One server is the other's upstream, over HTTP/1.1 and by its URL: the
// simulator is reachable directly on the listener that functions are on.
func TestUpstreamByURL(t *testing.T) {
	defer goleak.VerifyNone(t)
	behind := start(t, "--sim-ttft", "constant:0s", "--sim-gap", "constant:0s", "--sim-tokens", "constant:3")
	front := start(t, "--upstream", behind.url, "--sim-tokens", "constant:99")
	c := &http.Client{Transport: new(http.Transport)}
	stream := prompt(t, c, front)
	body, err := io.ReadAll(stream.Body)
	_ = stream.Body.Close()
	if err != nil || !strings.Contains(string(body), `"output_tokens":3}`) {
		t.Errorf("got %d %s, %v", stream.StatusCode, body, err)
	}
	c.CloseIdleConnections()
	for _, s := range []*server{front, behind} {
		s.stop()
		s.ended(t)
	}
}
