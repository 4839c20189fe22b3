package scenario

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openTargets(file, dir string) (*TargetRequests, error) {
	targets := &Targets{File: file}
	targets.complete()
	return OpenTargets(&Scenario{Target: "http://127.0.0.1:8080", Dir: dir, Seed: 1}, targets)
}

func TestTargets(t *testing.T) {
	body, err := os.ReadFile("testdata/targets/body.txt")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]TargetRequest{
		"plain.txt": {
			{Line: 2, Method: "GET", Path: "/healthz", Headers: map[string][]string{}},
			{Line: 4, Method: "POST", Path: "/items?n=1", Headers: map[string][]string{"Content-Type": {"text/plain"}, "X-Two": {"a", "b"}}, Body: body},
			{Line: 10, Method: "DELETE", Path: "/items/1", Headers: map[string][]string{}},
		},
		"lines.jsonl": { // the last line has no end
			{Line: 1, Method: "GET", Path: "/", Headers: map[string][]string{}},
			{Line: 3, Method: "POST", Path: "/items", Headers: map[string][]string{"Content-Type": {"text/plain"}}, Body: []byte("FOO")},
		},
	} {
		r, err := openTargets(file, "testdata/targets")
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, r.All); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		for seq := range uint64(7) {
			if i := r.Index(seq); i != int(seq%uint64(len(want))) {
				t.Errorf("arrival %d gets request %d", seq, i)
			}
		}
	}
}

func TestTargetsAtRandom(t *testing.T) {
	draw := func(seed uint64) (drawn []int) {
		r, err := OpenTargets(&Scenario{Target: "http://127.0.0.1:8080", Dir: "testdata/targets", Seed: seed}, &Targets{File: "plain.txt", Order: FeedRandom})
		if err != nil {
			t.Fatal(err)
		}
		for seq := range uint64(100) {
			drawn = append(drawn, r.Index(seq))
		}
		return drawn
	}
	first := draw(1)
	if !slices.Equal(first, draw(1)) || slices.Equal(first, draw(2)) {
		t.Errorf("drawn by the seed and nothing else: %v", first)
	}
	for i := range 3 {
		if n := len(slices.DeleteFunc(slices.Clone(first), func(j int) bool { return j != i })); n < 15 {
			t.Errorf("request %d came %d times of 100", i, n)
		}
	}
}

// What vegeta's parser would refuse, and what it would take in silence.
func TestBadTargets(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, tc := range []struct{ name, text, want string }{
		{"t.txt", "", "no requests"},
		{"t.txt", "# nothing\n\n", "no requests"},
		{"t.txt", "GET /\n\nGET\n", "t.txt:3: bad target: GET"},
		{"t.txt", "GET /\nget /\n", "t.txt:2: bad header: get /"},
		{"t.txt", "\nget /\n", "t.txt:2: bad method: get"},
		{"t.txt", "GET foo\n", "t.txt:1: bad URL"},
		{"t.txt", "GET /\nX-A\n", "t.txt:2: bad header: X-A"},
		{"t.txt", "GET /\nX-A: 1\nPOST http://127.0.0.1:8080/b\n", `t.txt:1: bad header: "POST http" is no header name; between`},
		{"t.txt", "GET /\n\n# second\nGET http://127.0.0.1:8081/\n", "t.txt:4: bad URL: http://127.0.0.1:8081/ lies on another server than the target, http://127.0.0.1:8080"},
		{"t.txt", "GET https://127.0.0.1:8080/\n", "t.txt:1: bad URL: https://127.0.0.1:8080/ lies on another server"},
		{"t.txt", "GET http://a:b@127.0.0.1:8080/\n", "t.txt:1: bad URL: no user and password"},
		{"t.txt", "GET //other/a\n", "t.txt:1: bad URL"},
		{"t.txt", "GET /a#b\n", "t.txt:1: bad URL"},
		{"t.txt", "CONNECT /\n", `t.txt:1: bad method: "CONNECT"`},
		{"t.txt", "GET /\nHost: example.com\n", "t.txt:1: bad header: Host is the instrument's own"},
		{"t.txt", "GET /\n\nPOST /\n@absent\n", "t.txt:4: bad body"},
		{"t.txt", "POST /\n@.\n", "t.txt:2: bad body: "},
		{"t.txt", "GET /\nX-A: " + long + "\n", "t.txt:2: a line of 70005 bytes"},
		{"t.json", "{\"method\":\"GET\",\"url\":\"/\"}\n\n{\"method\":}\n", "t.json:3: parse error"},
		{"t.json", "{\"url\":\"/\"}", "t.json:1: target: required method is missing"},
		{"t.json", "{\"method\":\"GET\"}", "t.json:1: target: required url is missing"},
		{"t.json", "{\"method\":\"get\",\"url\":\"/\"}", `t.json:1: bad method: "get"`},
		{"t.json", "{\"method\":\"GET\",\"url\":\"::\"}", "t.json:1: bad URL"},
		{"t.json", "{\"method\":\"GET\",\"url\":\"/a b\"}", "t.json:1: bad URL"},
		{"t.json", "{\"method\":\"GET\",\"url\":\"/\",\"header\":{\"A\":[\"b\\nc\"]}}", "t.json:1: bad header: A"},
		{"t.json", "{\"method\":\"POST\",\"url\":\"/\",\"body\":\"!\"}", "t.json:1: "},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tc.name), []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := openTargets(tc.name, dir)
		if err == nil || r != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60q: %v, want %q", tc.text, err, tc.want)
		}
	}
}

func FuzzTargets(f *testing.F) {
	f.Add("GET /\nX-A: 1\n\nPOST http://127.0.0.1:8080/b\n", false)
	f.Add("# c\n\nGET /\nGET /b", false)
	f.Add("{\"method\":\"GET\",\"url\":\"/\",\"body\":\"Rk9P\"}", true)
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		if strings.Contains(text, "@") {
			return // would read files
		}
		name := "t.txt"
		if asJSON {
			name = "t.json"
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := openTargets(name, dir)
		if err != nil {
			return
		}
		last := 0
		for _, request := range r.All {
			if request.Line <= last || request.Line > strings.Count(text, "\n")+1 || !strings.HasPrefix(request.Path, "/") {
				t.Errorf("%q: request %+v after line %d", text, request, last)
			}
			last = request.Line
		}
	})
}
