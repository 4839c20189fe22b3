package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// The instrument measures its own error against the known answer, leaves the
// envelope, and a run that goes beyond one is DEGRADED and says so.
func TestCalibrate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "made", "envelope.json")
	cmd := exec.Command(filepath.Join(bin, "loadgen"), "calibrate", "--out", path,
		"--streams", "40", "--connections", "40", "--members", "10", "--busy", "0", "--duration", "1s", "--bound", "500ms")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr.String())
	}
	t.Logf("\n%s", stdout)
	for _, want := range []string{"ttft error", "itl error", "fanout error", "send lag", "verdict", "streams over TLS", "rooms over TLS", "streams over HTTP/2", "envelope: " + path} {
		if !strings.Contains(string(stdout), want) {
			t.Errorf("the table does not say %q", want)
		}
	}
	e, err := result.ReadEnvelope(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Levels) != 5 || len(e.Limits) != 5 || e.Machine.Fingerprint == "" || e.ReceiveSource == "" {
		t.Fatalf("%+v", e)
	}
	for _, l := range e.Levels {
		// What the level asked for came about: its samples are one an event.
		least := int64(.8 * l.EventsPerSecond)
		if l.Failure != "" || l.Samples() < least {
			t.Errorf("%+v, want at least %d samples", l, least)
		}
		figures := []result.Spread{l.TTFT, l.ITL}
		if strings.HasPrefix(l.Kind.String(), "rooms") {
			figures = []result.Spread{l.Fanout}
		}
		if l.Kind.Over != result.HTTP2 {
			figures = append(figures, l.SendLag)
		}
		for _, f := range figures {
			if f.Samples == 0 || f.P50NS <= 0 || f.P50NS > f.P99NS || f.P99NS > f.P999NS || f.P999NS > f.MaxNS {
				t.Errorf("%v: %+v is no distribution", l.Kind, f)
			}
		}
	}
	for _, picture := range []string{"envelope-streams-ttft.svg", "envelope-streams-tls-itl.svg", "envelope-rooms-tls-fanout.svg", "envelope-rooms-send-lag.svg", "envelope-streams-http2-itl.svg"} {
		if b, err := os.ReadFile(filepath.Join(dir, "made", picture)); err != nil || !strings.HasPrefix(string(b), "<svg") {
			t.Errorf("%s: %.20s, %v", picture, b, err)
		}
	}

	// The same machine, calibrated for next to nothing.
	for i := range e.Limits {
		e.Limits[i].InFlight, e.Limits[i].EventsPerSecond = 1, 2
	}
	tiny := filepath.Join(dir, "tiny.json")
	if err := result.WriteEnvelope(tiny, e); err != nil {
		t.Fatal(err)
	}
	s := startServer(t)
	run := measured(t, fmt.Sprintf(beyondYAML, s.URL), nil, "--envelope", tiny)
	var found bool
	for _, reason := range run.Result.Validity.Reasons {
		if reason.Check == "envelope" {
			found = true
			if !strings.Contains(reason.Detail, "beyond the 1 at 2") || !strings.Contains(reason.Remedy, "loadgen calibrate") {
				t.Errorf("%+v", reason)
			}
		}
	}
	if run.Result.Validity.State != result.Degraded || !found || run.Code != 0 || !strings.Contains(run.Stdout, "beyond the 1 at 2") {
		t.Errorf("exit code %d, %+v\n%s", run.Code, run.Result.Validity, run.Stdout)
	}
}

const beyondYAML = `
version: 1
name: beyond
target: %s
duration: 2s
workloads:
  chat:
    protocol: sse
    load: {rate: 10/s}
    request: {method: POST, path: /functions/v1/stream-ai, headers: {X-Sim-Ttft: 'constant:100ms', X-Sim-Gap: 'constant:50ms', X-Sim-Tokens: 'constant:10'}, body: '{"prompt": "hello"}'}
`
