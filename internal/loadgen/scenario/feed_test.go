package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFeeds(t *testing.T) {
	for _, tc := range []struct {
		file string
		want []map[string]string
	}{
		{"people.csv", []map[string]string{{"user": "ann", "prompt": "Hello there"}, {"user": "bob", "prompt": "Tell me, please"}}},
		{"people.jsonl", []map[string]string{{"user": "ann", "n": "1", "ok": "true", "none": ""}, {"user": "bob", "n": "2.50", "ok": "false", "none": ""}}},
	} {
		rows, err := OpenFeed("testdata/feeds", &Feed{File: tc.file, Order: FeedSequential}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if rows.Len() != len(tc.want) {
			t.Errorf("%s: %d rows", tc.file, rows.Len())
		}
		for seq := range uint64(5) { // in order, and from the beginning again
			if diff := cmp.Diff(tc.want[seq%2], rows.Row(seq)); diff != "" {
				t.Errorf("%s, row %d (-want +got):\n%s", tc.file, seq, diff)
			}
		}
	}
}

func TestFeedErrors(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct{ content, want string }{
		"empty.csv":     {"", "empty.csv:1: no header line"},
		"header.csv":    {"a,b\n", "header.csv: no rows"},
		"short.csv":     {"a,b\n1,2\n3\n", "short.csv:3:"},
		"quote.csv":     {"a,b\n1,\"2\n", "quote.csv:"},
		"twice.csv":     {"a,a\n1,2\n", "twice.csv:1: column name \"a\""},
		"nameless.csv":  {"a,\n1,2\n", "nameless.csv:1: column name \"\""},
		"latin.csv":     {"a\n\xe9\n", "not UTF-8"},
		"empty.jsonl":   {"\n", "empty.jsonl: no rows"},
		"broken.jsonl":  {"{\"a\": 1}\n{\"a\"\n", "broken.jsonl:2: want a JSON object"},
		"list.jsonl":    {"[1]\n", "list.jsonl:1: want a JSON object"},
		"null.jsonl":    {"null\n", "null.jsonl:1: want a JSON object"},
		"nested.jsonl":  {"{\"a\": {\"b\": 1}}\n", "nested.jsonl:1: the value of \"a\" is no plain value"},
		"missing.jsonl": {"{\"a\": 1}\n\n{\"b\": 1}\n", "missing.jsonl:3: no \"a\""},
		"more.jsonl":    {"{\"a\": 1}\n{\"a\": 1, \"b\": 1}\n", "more.jsonl:2: \"b\""},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(tc.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if rows, err := OpenFeed(dir, &Feed{File: name}, 1); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v; want %q", name, rows, err, tc.want)
		}
	}
	for _, name := range []string{"none.csv", ".", "/dev/zero"} {
		if rows, err := OpenFeed(dir, &Feed{File: name}, 1); err == nil {
			t.Errorf("%s gives %d rows", name, rows.Len())
		}
	}
}

// Random order depends on seed and sequence number alone, and reaches every row.
func TestFeedRandom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letters.csv")
	if err := os.WriteFile(path, []byte("l\na\nb\nc\nd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	order := func(seed uint64) string {
		rows, err := OpenFeed("elsewhere", &Feed{File: path, Order: FeedRandom}, seed)
		if err != nil {
			t.Fatal(err)
		}
		letters := make([]byte, 400)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := g; i < len(letters); i += 4 {
					letters[i] = rows.Row(uint64(i))["l"][0]
				}
			})
		}
		wg.Wait()
		return string(letters)
	}
	if first := order(1); first != order(1) || first == order(2) {
		t.Error("the order does not follow the seed")
	} else {
		for _, l := range "abcd" {
			if n := strings.Count(first, string(l)); n < 60 || n > 140 {
				t.Errorf("%c came %d times in 400", l, n)
			}
		}
	}
}
