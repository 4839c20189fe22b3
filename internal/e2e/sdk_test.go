package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// sdkFolder is where the official JavaScript clients and the scripts that use them
// lie, installed once a run.
var sdkFolder = sync.OnceValues(func() (string, error) {
	folder := filepath.Join(bin, "sdk")
	if err := os.CopyFS(folder, os.DirFS("testdata/sdk")); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &installError{out, err}
	}
	return folder, nil
})

// installError is what npm said.
type installError struct {
	out []byte
	err error
}

func (e *installError) Error() string {
	return "npm ci in testdata/sdk: " + e.err.Error() + "\n" + tail(string(e.out))
}

func (e *installError) Unwrap() error { return e.err }

// sdkAsk is what a script of testdata/sdk is to do.
type sdkAsk struct {
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	MaxRetries int               `json:"maxRetries"`
	Timeout    int               `json:"timeout,omitempty"`  // of the client, in ms
	AbortAt    int               `json:"abortAt,omitempty"`  // chunk a moment after which a signal of the caller ends the call
	Whole      bool              `json:"whole,omitempty"`    // no stream
	Function   string            `json:"function,omitempty"` // supabase.mjs: its name
	Key        string            `json:"key,omitempty"`      // supabase.mjs
	Body       any               `json:"body,omitempty"`     // supabase.mjs
}

// sdkSeen is what a script reports.
type sdkSeen struct {
	Text, Reasoning, Stop, Role string
	Chunks, Input, Output       int
	Blocks                      []string
	Status                      int
	Data                        any
	Took                        float64 // ms
	Error                       *struct {
		Classes       []string // the error's classes, its own first
		Message, Type string
		Status        int
		OfClient      bool
	}
}

// failedAs reports whether the call failed with an error of that class.
func (s sdkSeen) failedAs(class string) bool {
	return s.Error != nil && slices.Contains(s.Error.Classes, class)
}

// runSDK runs a script of testdata/sdk.
func runSDK(t *testing.T, script string, ask sdkAsk) sdkSeen {
	t.Helper()
	folder, err := sdkFolder()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "SDK_ASK="+string(raw))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("node %s: %v\n%s", script, err, tail(stderr.String()))
	}
	var seen sdkSeen
	if err := json.Unmarshal(stdout.Bytes(), &seen); err != nil {
		t.Fatalf("node %s said %q: %v", script, stdout.String(), err)
	}
	return seen
}

var sdkTiming = []string{"--sim-ttft", "constant:20ms", "--sim-gap", "constant:2ms", "--sim-tokens", "constant:20"}

// The official clients stream to the end, with usage and stop reason.
func TestSDKsStream(t *testing.T) {
	t.Parallel()
	s := startServer(t, sdkTiming...)
	for script, stop := range map[string]string{"anthropic.mjs": "end_turn", "openai.mjs": "stop"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			got := runSDK(t, script, sdkAsk{URL: s.URL})
			if got.Error != nil || got.Stop != stop || got.Input != 4 || got.Output != 20 || got.Chunks != 20 || len(strings.Fields(got.Text)) != 20 {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		})
	}
}

// Faults of one request, as the clients report them. A stall outlasts the test by far:
// whoever waits for its end fails there.
func TestSDKsMeetFaults(t *testing.T) {
	t.Parallel()
	s := startServer(t, sdkTiming...)
	for _, tc := range []struct {
		name, fault string
		ask         sdkAsk
		check       func(t *testing.T, anthropic bool, got sdkSeen)
	}{
		{"429", "status:429", sdkAsk{}, func(t *testing.T, _ bool, got sdkSeen) {
			if !got.failedAs("RateLimitError") || got.Error.Status != 429 {
				t.Errorf("got %+v", got.Error)
			}
		}},
		{"error event", "error-event@5", sdkAsk{}, func(t *testing.T, anthropic bool, got sdkSeen) {
			want := map[bool]string{true: "overloaded_error", false: "server_error"}[anthropic]
			if !got.failedAs("APIError") || got.Error.Type != want || got.Chunks != 5 {
				t.Errorf("got %+v %+v, want an APIError of %s", got, got.Error, want)
			}
		}},
		{"cut", "cut@5", sdkAsk{}, func(t *testing.T, anthropic bool, got sdkSeen) {
			// What fetch says of a connection that broke; one client wraps it.
			if class := map[bool]string{true: "AnthropicError", false: "TypeError"}[anthropic]; !got.failedAs(class) || got.Error.Message != "terminated" || got.Chunks != 5 {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		}},
		{"malformed", "malformed@5", sdkAsk{}, func(t *testing.T, _ bool, got sdkSeen) {
			if got.Error == nil || !strings.Contains(got.Error.Message, "JSON") || got.Chunks != 5 {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		}},
		{"stall, and the caller gives up", "stall@5,10m", sdkAsk{AbortAt: 5}, func(t *testing.T, anthropic bool, got sdkSeen) {
			// The clients' timeout ends with the header; a signal ends a stream, for the
			// one client with an error, for the other as if it were complete.
			if got.failedAs("APIUserAbortError") != anthropic || (got.Error != nil) != anthropic || got.Stop != "" || got.Chunks != 5 {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		}},
		{"stall of a whole answer, and the client's timeout", "stall@5,10m", sdkAsk{Timeout: 500, Whole: true}, func(t *testing.T, _ bool, got sdkSeen) {
			if !got.failedAs("APIConnectionTimeoutError") {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		}},
		{"reasoning", "reasoning:10", sdkAsk{}, func(t *testing.T, anthropic bool, got sdkSeen) {
			if got.Error != nil || len(strings.Fields(got.Reasoning)) != 10 || len(strings.Fields(got.Text)) != 20 || got.Output != 30 {
				t.Errorf("got %+v %+v", got, got.Error)
			}
			if anthropic && !slices.Equal(got.Blocks, []string{"thinking", "text"}) {
				t.Errorf("blocks %q", got.Blocks)
			}
		}},
		{"pieces, pings and empty chunks", "split;ping:5ms;empty@3;role-only", sdkAsk{}, func(t *testing.T, _ bool, got sdkSeen) {
			if got.Error != nil || len(strings.Fields(got.Text)) != 20 || got.Output != 20 || strings.ContainsRune(got.Text, '\ufffd') || !strings.HasPrefix(got.Text, "à l’été,") {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		}},
		{"no end", "truncate@5", sdkAsk{}, func(t *testing.T, anthropic bool, got sdkSeen) {
			// The one client notices, the other cannot tell.
			if (got.Error != nil) != anthropic || got.Chunks != 5 {
				t.Errorf("got %+v %+v", got, got.Error)
			}
		}},
	} {
		for _, script := range []string{"anthropic.mjs", "openai.mjs"} {
			t.Run(tc.name+"/"+script, func(t *testing.T) {
				t.Parallel()
				tc.ask.URL, tc.ask.Headers = s.URL, map[string]string{wire.HeaderSimFault: tc.fault}
				tc.check(t, script == "anthropic.mjs", runSDK(t, script, tc.ask))
			})
		}
	}
}

// What goes away is tried again, once: after the time that Retry-After gives, or after
// the clients' own. They wait 8 s themselves at most, so that less than that on top
// shows which time it was; how much less is the machine's affair.
func TestSDKsRetry(t *testing.T) {
	t.Parallel()
	for fault, least := range map[string]float64{
		"status:429,retry-after:2s#1":     2000,
		"status:429,retry-after:1500ms#1": 1500,
		"status:529#1":                    375, // 0.5 s less a quarter
	} {
		for _, script := range []string{"anthropic.mjs", "openai.mjs"} {
			t.Run(fault+"/"+script, func(t *testing.T) {
				t.Parallel()
				s := startServer(t, append(sdkTiming, "--fault", fault)...)
				got := runSDK(t, script, sdkAsk{URL: s.URL, MaxRetries: 2})
				if got.Error != nil || got.Output != 20 || got.Took < least || got.Took > least+8000 {
					t.Errorf("got %+v %+v, want it in %v ms and less than 8 s", got, got.Error, least)
				}
				if n := gauge(t, s, `refserver_llm_faults_total{kind="status"}`); n != 1 {
					t.Errorf("the fault was given %d times, want once", n)
				}
			})
		}
	}
}

// supabase-js calls each function with its anon key, and reads what each answers.
func TestSupabaseInvokes(t *testing.T) {
	t.Parallel()
	const secret = "the secret of a project that supabase-js calls"
	s := startServer(t, append(sdkTiming, "--jwt-secret", secret, "--verify-jwt")...)
	anon := keys(t, secret)["ANON_KEY"]
	prompt := map[string]any{"prompt": "Hello"}
	invoke := func(function string, body any, headers map[string]string) sdkSeen {
		t.Helper()
		return runSDK(t, "supabase.mjs", sdkAsk{URL: s.URL, Function: function, Key: anon, Body: body, Headers: headers})
	}
	got := invoke("stream-ai", prompt, nil)
	if got.Error != nil || got.Chunks < 2 || strings.Count(got.Text, "event: content_block_delta") != 20 || !strings.HasSuffix(got.Text, "data: {\"type\":\"message_stop\"}\n\n") {
		t.Errorf("stream-ai: got %+v %+v", got, got.Error)
	}
	for function, tc := range map[string]struct {
		body any
		data string // of the answer
	}{
		"track-event":      {map[string]any{"user_id": "ada", "event_type": "signup"}, `{"queued":true}`},
		"fetch-with-retry": {map[string]any{"url": s.URL + wire.PathHealth}, `"status":200`},
		"morning-digest":   {map[string]any{}, `{"sent":`},
		"limits":           {map[string]any{"cpu": "1ms", "memory": "1MB"}, `"memory_bytes":1048576`},
	} {
		got := invoke(function, tc.body, nil)
		data, err := json.Marshal(got.Data)
		if err != nil || got.Error != nil || !strings.Contains(string(data), tc.data) {
			t.Errorf("%s: got %s, %+v, %v; want %s", function, data, got.Error, err, tc.data)
		}
	}
	for what, tc := range map[string]struct {
		got    sdkSeen
		status int
	}{
		"an upstream's 529":        {invoke("stream-ai", prompt, map[string]string{wire.HeaderSimFault: "status:529"}), 529},
		"ws-relay with no upgrade": {invoke("ws-relay", prompt, nil), 426},
		"no such function":         {invoke("nope", prompt, nil), 404},
		"a key of another project": {invoke("morning-digest", nil, map[string]string{"Authorization": "Bearer " + keys(t, "the secret of another project than this one")["ANON_KEY"]}), 401},
	} {
		if !tc.got.failedAs("FunctionsHttpError") || tc.got.Status != tc.status {
			t.Errorf("%s: got %+v %+v, want FunctionsHttpError and %d", what, tc.got, tc.got.Error, tc.status)
		}
	}
}
