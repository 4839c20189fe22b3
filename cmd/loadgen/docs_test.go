package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/driver"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// block is one fenced block of a Markdown file.
type block struct {
	at   string // file:line of its first line of text
	info string // what stands behind the opening fence: "yaml", "csv prompts.csv"
	text string
}

var fence = regexp.MustCompile("(?ms)^```([^\n`]*)\n(.*?)^```[ \t]*$")

// blocksOf reads a document's fenced blocks in their order.
func blocksOf(t *testing.T, path string) []block {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	for _, m := range fence.FindAllSubmatchIndex(src, -1) {
		line := strings.Count(string(src[:m[4]]), "\n") + 1
		blocks = append(blocks, block{fmt.Sprintf("%s:%d", path, line), string(src[m[2]:m[3]]), string(src[m[4]:m[5]])})
	}
	return blocks
}

// Every scenario shown in the documents is one that loadgen takes, with nothing
// set in the environment. A block "csv NAME" or "jsonl NAME" is the feed file of
// that name.
func TestDocumentedScenariosAreValid(t *testing.T) {
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	options := scenario.Options{Metrics: driver.Metrics()}
	found := 0
	for _, doc := range append(docs, "../../README.md") {
		dir, blocks := t.TempDir(), blocksOf(t, doc)
		for _, b := range blocks {
			kind, name, _ := strings.Cut(b.info, " ")
			if name == "" || kind != "csv" && kind != "jsonl" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range blocks {
			if b.info != "yaml" || !strings.HasPrefix(b.text, "version:") {
				continue
			}
			found++
			if _, err := scenario.Parse(filepath.Join(dir, "scenario.yaml"), []byte(b.text), options); err != nil {
				t.Errorf("the scenario at %s is refused:\n%v", b.at, err)
			}
		}
	}
	if found == 0 {
		t.Error("no yaml block that begins with version: was found in README.md and docs/")
	}
}

// What docs/scenarios.md shows of an error is what its file wrong.yaml gives.
func TestDocumentedErrorIsReal(t *testing.T) {
	const path, begin = "../../docs/scenarios.md", "# wrong.yaml\n"
	blocks := blocksOf(t, path)
	at := slices.IndexFunc(blocks, func(b block) bool { return strings.HasPrefix(b.text, begin) })
	if at < 0 || at+1 == len(blocks) {
		t.Fatalf("no block that begins with %q, and one behind it, in %s", begin, path)
	}
	_, err := scenario.Parse("wrong.yaml", []byte(blocks[at].text), scenario.Options{Metrics: driver.Metrics()})
	if err == nil {
		t.Fatalf("%s: the file is valid", blocks[at].at)
	}
	want := "$ bin/loadgen validate wrong.yaml\nloadgen: " + err.Error() + "\n"
	if got := blocks[at+1].text; got != want {
		t.Errorf("%s shows:\n%s\nthe program says:\n%s", blocks[at+1].at, got, want)
	}
}

// docs/scenarios.md names every key of the format.
func TestEveryKeyIsDocumented(t *testing.T) {
	encoded, err := scenario.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(encoded, &schema); err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	gatherKeys(schema, keys)
	if !keys["thresholds"] || !keys["max_in_flight"] {
		t.Fatalf("the schema's keys were not found: %v", keys)
	}
	src, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !strings.Contains(string(src), "| `"+key+"` |") {
			t.Errorf("docs/scenarios.md has no table row for the key %q", key)
		}
	}
}

// gatherKeys adds the names of all properties below a JSON Schema's node.
func gatherKeys(node any, keys map[string]bool) {
	switch n := node.(type) {
	case map[string]any:
		if properties, ok := n["properties"].(map[string]any); ok {
			for key := range properties {
				keys[key] = true
			}
		}
		for _, child := range n {
			gatherKeys(child, keys)
		}
	case []any:
		for _, child := range n {
			gatherKeys(child, keys)
		}
	}
}
