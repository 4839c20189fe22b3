package peers_test

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Versions that are installed. Debian's wrk is whatever its release has.
const (
	k6Module     = "go.k6.io/k6@v1.8.1"
	k6SSEModule  = "github.com/phymbert/xk6-sse@latest"
	heyModule    = "github.com/rakyll/hey@v0.1.5"
	vegetaModule = "github.com/tsenart/vegeta/v12@v12.13.0"
	autocannon   = "autocannon@9.0.0"
)

const installLimit = 6 * time.Minute

// A tool is a program to compare with, or the reason why there is none.
type tool struct {
	Name    string
	Version string
	Argv    []string
	Env     []string
	Why     string // not empty: why it could not be installed
}

// tools are the programs of one run, all below Dir.
type tools struct {
	Dir                string
	Loadgen, Server    tool
	K6, K6SSE          tool
	Vegeta, Hey        tool
	Wrk, Autocannon    tool
	PlainGo, FloorGo   tool
	GoVersion, Machine string
}

// list is every tool in the order in which it is named.
func (t *tools) list() []tool {
	return []tool{t.Loadgen, t.K6, t.K6SSE, t.Vegeta, t.Hey, t.Wrk, t.Autocannon, t.PlainGo, t.FloorGo}
}

// install builds our own programs, whose failure is an error, and fetches the
// peers, whose failure is a reason in the tables.
func install(ctx context.Context, dir string) (*tools, error) {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "", nil, "go", "build", "-o", bin, "../../cmd/..."); err != nil {
		return nil, fmt.Errorf("build the two programs: %w", err)
	}
	t := &tools{Dir: dir, Machine: machine()}
	goVersion, err := command(ctx, "", nil, "go", "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	t.GoVersion = strings.TrimSpace(goVersion)
	t.Loadgen = tool{Name: "loadgen", Version: "this tree", Argv: []string{filepath.Join(bin, "loadgen")}}
	t.Server = tool{Name: "reference-server", Version: "this tree", Argv: []string{filepath.Join(bin, "reference-server")}}
	t.PlainGo = tool{Name: "plain Go", Version: t.GoVersion + ", net/http and gorilla/websocket"}
	t.FloorGo = tool{Name: "floor", Version: "one epoll thread"}
	if floorClients() == nil {
		t.FloorGo.Why = "it needs epoll, which this system has not"
	}
	var wg sync.WaitGroup
	wg.Go(func() { t.K6, t.K6SSE = installK6(ctx, dir, bin) })
	wg.Go(func() {
		t.Vegeta = installGo(ctx, bin, "vegeta", vegetaModule)
		t.Hey = installGo(ctx, bin, "hey", heyModule)
	})
	wg.Go(func() {
		t.Wrk = installWrk(ctx, filepath.Join(dir, "wrk"))
		t.Autocannon = installAutocannon(ctx, filepath.Join(dir, "npm"))
	})
	wg.Wait()
	return t, nil
}

// command runs argv outside of any measurement and returns what it said.
func command(ctx context.Context, dir string, env []string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv[:min(2, len(argv))], " "), err, lastLines(stderr.String(), 2))
	}
	return string(stdout), nil
}

// lastLines is the end of a tool's complaint, in one line.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines[max(0, len(lines)-n):], " ")
}

func installGo(ctx context.Context, bin, name, module string) tool {
	t := tool{Name: name, Version: module, Argv: []string{filepath.Join(bin, name)}}
	if _, err := command(ctx, bin, []string{"GOBIN=" + bin}, "go", "install", module); err != nil {
		t.Why = err.Error()
	}
	return t
}

const k6Main = `package main

import (
	"go.k6.io/k6/cmd"%s
)

func main() { cmd.Execute() }
`

// installK6 builds k6 with its SSE extension, or without it where that cannot
// be had.
func installK6(ctx context.Context, dir, bin string) (k6, sse tool) {
	path := filepath.Join(bin, "k6")
	env := []string{"K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false"}
	k6 = tool{Name: "k6", Version: k6Module, Argv: []string{path}, Env: env}
	sse = tool{Name: "k6 + xk6-sse", Version: k6SSEModule, Argv: []string{path}, Env: env}
	err := buildK6(ctx, filepath.Join(dir, "k6-sse"), path, "\n\n\t_ \"github.com/phymbert/xk6-sse\"", k6Module, k6SSEModule)
	if err == nil {
		if info, err := buildinfo.ReadFile(path); err == nil {
			for _, dep := range info.Deps {
				if strings.HasPrefix(k6SSEModule, dep.Path+"@") {
					sse.Version = dep.Path + "@" + dep.Version
				}
			}
		}
		return k6, sse
	}
	sse.Why = err.Error()
	if err := buildK6(ctx, filepath.Join(dir, "k6"), path, "", k6Module); err != nil {
		k6.Why = err.Error()
	}
	return k6, sse
}

func buildK6(ctx context.Context, dir, path, extension string, modules ...string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), fmt.Appendf(nil, k6Main, extension), 0o644); err != nil {
		return err
	}
	for _, argv := range [][]string{
		{"go", "mod", "init", "k6build"},
		append([]string{"go", "get"}, modules...),
		{"go", "mod", "tidy"},
		{"go", "build", "-o", path, "."},
	} {
		if _, err := command(ctx, dir, []string{"GOFLAGS=-buildvcs=false", "GOWORK=off"}, argv...); err != nil {
			return err
		}
	}
	return nil
}

// installWrk unpacks Debian's package and what it needs into dir, without
// installing anything.
func installWrk(ctx context.Context, dir string) tool {
	t := tool{Name: "wrk", Version: "Debian's", Argv: []string{filepath.Join(dir, "usr/bin/wrk")}}
	err := func() error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if _, err := command(ctx, dir, nil, "apt-get", "download", "-qq", "wrk", "libluajit-5.1-2", "libluajit-5.1-common"); err != nil {
			return err
		}
		packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil {
			return err
		}
		for _, p := range packages {
			if _, err := command(ctx, dir, nil, "dpkg", "-x", p, dir); err != nil {
				return err
			}
			if name, version, ok := strings.Cut(filepath.Base(p), "_"); ok && name == "wrk" {
				t.Version, _, _ = strings.Cut(version, "_")
			}
		}
		libs, err := filepath.Glob(filepath.Join(dir, "usr/lib/*/libluajit-5.1.so.2"))
		if err != nil || len(libs) == 0 {
			return errors.Join(err, errors.New("libluajit is not in its package"))
		}
		t.Env = []string{"LD_LIBRARY_PATH=" + filepath.Dir(libs[0])}
		return nil
	}()
	if err != nil {
		t.Why = err.Error()
	}
	return t
}

func installAutocannon(ctx context.Context, dir string) tool {
	t := tool{Name: "autocannon", Version: autocannon}
	err := func() error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		node, err := exec.LookPath("node")
		if err != nil {
			return err
		}
		if _, err := command(ctx, dir, nil, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", dir, autocannon); err != nil {
			return err
		}
		pkg := filepath.Join(dir, "node_modules", "autocannon")
		raw, err := os.ReadFile(filepath.Join(pkg, "package.json"))
		if err != nil {
			return err
		}
		var manifest struct{ Version string }
		if err := json.Unmarshal(raw, &manifest); err != nil {
			return err
		}
		version, err := command(ctx, dir, nil, node, "--version")
		if err != nil {
			return err
		}
		t.Version = manifest.Version + " on node " + strings.TrimSpace(version)
		t.Argv = []string{node, filepath.Join(pkg, "autocannon.js")}
		return nil
	}()
	if err != nil {
		t.Why = err.Error()
	}
	return t
}

// machine is the processor's name and how many cores of it there are here.
func machine() string {
	name := "unknown processor"
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return name
	}
	n := 0
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			name, n = strings.TrimSpace(value), n+1
		}
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return name
	}
	return fmt.Sprintf("%d cores of %s, Linux %s", n, name, strings.TrimSpace(string(release)))
}
