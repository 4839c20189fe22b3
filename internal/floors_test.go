// Package internal_test keeps the house: which package may import which.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/edgeload/edgeload"

// floors is the house. Arrows run down only: a package imports what lies on a
// lower floor of its own wing, and wire; never a neighbour on its own floor and
// never the other wing. A package that is not here does not exist.
var floors = map[string]map[string]int{
	"loadgen": {
		"crontab":  -1, // the cellar: a notation of scenario's
		"scenario": 0, "hist": 0, "stream": 0, "frame": 0, "rxtime": 0, "backoff": 0,
		"result": 1, "pace": 1, "knownanswer": 1, "h1": 1, "sink": 1,
		"engine": 2,
		"driver": 3, "target": 3,
		"gate": 4, "calibrate": 4,
		"chart":  5,
		"report": 6, "live": 6,
	},
	"refserver": {
		"truth": 0, "store": 0,
		"relay": 1, "llm": 1, "cron": 1, "retry": 1,
		"edge":      2,
		"functions": 3, "admin": 3,
	},
}

// only names, for libraries that belong to one package, who may import them.
var only = map[string][]string{
	"github.com/HdrHistogram/hdrhistogram-go": {"internal/loadgen/hist"},
	"gonum.org/v1/plot":                       {"internal/loadgen/chart"},
	"github.com/spf13/cobra":                  {"cmd/loadgen", "cmd/reference-server"},
	"github.com/redis/rueidis":                {"internal/refserver/relay"},
	"modernc.org/sqlite":                      {"internal/refserver/store"},
	"github.com/golang-jwt/jwt/v5":            {"internal/refserver/edge"},
}

// never names, for a package, what it must not know.
var never = map[string][]string{
	"internal/loadgen/crontab":   {"net", "net/http"},
	"internal/loadgen/scenario":  {"net", "net/http"},
	"internal/loadgen/pace":      {"net", "net/http"},
	"internal/loadgen/hist":      {"net", "net/http"},
	"internal/loadgen/backoff":   {"net", "net/http"},
	"internal/loadgen/stream":    {"net", "net/http"},
	"internal/loadgen/frame":     {"net", "net/http"},
	"internal/loadgen/rxtime":    {"net/http"},
	"internal/loadgen/result":    {"net", "net/http"},
	"internal/loadgen/engine":    {"net", "net/http"},
	"internal/loadgen/gate":      {"net", "net/http"},
	"internal/loadgen/calibrate": {"net", "net/http"},
	"internal/loadgen/chart":     {"net", "net/http"},
	"internal/loadgen/report":    {"net", "net/http"},
	"internal/refserver/relay":   {"net/http"},
	"internal/refserver/cron":    {"net/http"},
	"internal/refserver/retry":   {"net/http"},
	"internal/refserver/store":   {"net/http"},
	"internal/refserver/truth":   {"net", "net/http"},
}

func TestFloors(t *testing.T) {
	known := map[string]bool{"internal": true, "internal/wire": true, "internal/service": true, "internal/e2e": true, "internal/peers": true, "cmd/loadgen": true, "cmd/reference-server": true}
	for wing, packages := range floors {
		for p := range packages {
			known["internal/"+wing+"/"+p] = true
		}
	}
	seen := map[string]bool{}
	for _, file := range goFiles(t) {
		pkg := filepath.ToSlash(filepath.Dir(file))
		seen[pkg] = true
		if !known[pkg] {
			t.Errorf("%s: package %s has no floor; give it one in the table of this test and in docs/architecture.md", file, pkg)
			continue
		}
		for _, imp := range imports(t, file) {
			if why := forbidden(pkg, imp, strings.HasSuffix(file, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", file, imp, why)
			}
		}
	}
	for p := range known {
		if !seen[p] {
			t.Errorf("the table names %s, which is not there", p)
		}
	}
}

// forbidden says why pkg must not import imp, or nothing. Tests may reach for
// libraries their package must not know, but not across floors.
func forbidden(pkg, imp string, test bool) string {
	if !test {
		for lib, who := range only {
			if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(who, pkg) {
				return "it belongs to " + strings.Join(who, " and ") + " alone"
			}
		}
		if slices.Contains(never[pkg], imp) {
			return "this package must not know it"
		}
	}
	imp, ours := strings.CutPrefix(imp, module+"/")
	if !ours || imp == "internal/wire" || pkg == imp {
		return ""
	}
	if imp == "internal/service" {
		if test {
			return ""
		}
		return "real servers are for tests"
	}
	wing, floor := place(pkg)
	impWing, impFloor := place(imp)
	switch {
	case impWing == "":
		return "nothing imports a package that has no floor"
	case pkg == "internal/wire":
		return "wire stands under everything and imports nothing of ours"
	case pkg == "internal/e2e", pkg == "internal/peers":
		if imp == "internal/loadgen/result" || imp == "internal/loadgen/hist" {
			return ""
		}
		return "the end-to-end tests see the two programs from outside; only result files may be read"
	case wing != impWing:
		return "the wings never import each other"
	case floor <= impFloor:
		return "arrows run down only: " + pkg + " is on floor " + strconv.Itoa(floor) + ", " + imp + " on " + strconv.Itoa(impFloor)
	}
	return ""
}

// place is the wing and floor of a package; a program stands above its wing.
func place(pkg string) (wing string, floor int) {
	switch pkg {
	case "cmd/loadgen":
		return "loadgen", 7
	case "cmd/reference-server":
		return "refserver", 7
	}
	parts := strings.Split(pkg, "/")
	if len(parts) != 3 || parts[0] != "internal" {
		return "", 0
	}
	floor, ok := floors[parts[1]][parts[2]]
	if !ok {
		return "", 0
	}
	return parts[1], floor
}

// goFiles lists the module's Go files, relative to its root.
func goFiles(t *testing.T) []string {
	t.Helper()
	root := os.DirFS("..")
	var files []string
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".go") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d Go files: the walk is wrong", len(files))
	}
	return files
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	return out
}

// The rules must be able to fail.
func TestForbidden(t *testing.T) {
	for _, tc := range []struct {
		pkg, imp string
		ok       bool
	}{
		{"internal/loadgen/engine", module + "/internal/loadgen/hist", true},
		{"internal/loadgen/engine", module + "/internal/loadgen/driver", false},
		{"internal/loadgen/result", module + "/internal/loadgen/pace", false},
		{"internal/loadgen/driver", module + "/internal/refserver/llm", false},
		{"internal/refserver/llm", module + "/internal/wire", true},
		{"internal/wire", module + "/internal/loadgen/hist", false},
		{"internal/loadgen/hist", module + "/internal/unknown", false},
		{"internal/loadgen/report", "github.com/HdrHistogram/hdrhistogram-go", false},
		{"internal/loadgen/report", "gonum.org/v1/plot/vg", false},
		{"internal/loadgen/scenario", "net/http", false},
		{"internal/loadgen/driver", "net/http", true},
		{"cmd/loadgen", module + "/internal/loadgen/report", true},
		{"cmd/loadgen", module + "/internal/refserver/edge", false},
		{"internal/refserver/store", module + "/internal/service", false},
	} {
		if why := forbidden(tc.pkg, tc.imp, false); (why == "") != tc.ok {
			t.Errorf("%s importing %s: %q, want allowed = %v", tc.pkg, tc.imp, why, tc.ok)
		}
	}
}
