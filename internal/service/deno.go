package service

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// denoVersion is the one that the examples are tested on. The npm package pins its
// executables, which are packages of their own, to the same version.
const denoVersion = "2.9.6"

// InstallDeno installs Deno from npm into a folder, through npm's own cache, and
// returns the path of its executable. No script of a package runs.
func InstallDeno(ctx context.Context, folder string) (string, error) {
	npm := exec.CommandContext(ctx, "npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "deno@"+denoVersion)
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install deno@%s: %w\n%s", denoVersion, err, out)
	}
	pattern := filepath.Join(folder, "node_modules", "@deno", "*", "deno")
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("look for the executable of deno@%s: %w", denoVersion, err)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("deno@%s has %d executables in %s, want one: is there one for this system?", denoVersion, len(found), pattern)
	}
	return found[0], nil
}

// DenoOptions says how a Deno runs.
type DenoOptions struct {
	Exe    string   // as InstallDeno returns it
	Script string   // listens on 127.0.0.1:$PORT and answers /healthz with 200 when it is ready
	Flags  []string // of deno run, beside those that let it listen, call loopback and read its environment
	Env    []string // "NAME=value" added to its environment
}

// Deno is a running server on Deno. It may call 127.0.0.1 and nothing else.
type Deno struct {
	URL string // http://127.0.0.1:PORT
	o   DenoOptions
	p   *process
}

// StartDeno starts a server that is ended with the test.
func StartDeno(t testing.TB, o DenoOptions) *Deno {
	t.Helper()
	port := freePort(t)
	o.Env = append([]string{
		fmt.Sprintf("PORT=%d", port), "DENO_DIR=" + t.TempDir(), "DENO_NO_UPDATE_CHECK=1", "NO_COLOR=1",
	}, o.Env...)
	d := &Deno{URL: fmt.Sprintf("http://127.0.0.1:%d", port), o: o}
	d.Start(t)
	t.Cleanup(func() { d.Kill(t) })
	return d
}

// Start starts it again on the same port, after Kill or Stop.
func (d *Deno) Start(t testing.TB) {
	t.Helper()
	args := append([]string{"run", "--no-prompt", "--cached-only", "--allow-net=127.0.0.1", "--allow-env"}, d.o.Flags...)
	cmd := exec.Command(d.o.Exe, append(args, d.o.Script)...)
	cmd.Env = append(os.Environ(), d.o.Env...)
	d.p = start(t, cmd)
	d.p.await(t, func() error {
		resp, err := http.Get(d.URL + "/healthz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/healthz answered %s", resp.Status)
		}
		return nil
	})
}

// Log is what it has said so far.
func (d *Deno) Log() string { return d.p.log.String() }

// Kill ends it with SIGKILL. Killing a killed one does nothing.
func (d *Deno) Kill(t testing.TB) {
	t.Helper()
	d.p.signal(t, syscall.SIGKILL)
}

// Stop ends it with SIGTERM, which it may answer in its own time.
func (d *Deno) Stop(t testing.TB) {
	t.Helper()
	d.p.signal(t, syscall.SIGTERM)
}
