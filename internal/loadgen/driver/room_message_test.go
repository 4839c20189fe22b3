package driver

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMessageFormsOneObjectOfItsSize(t *testing.T) {
	m := roomMessage{run: 0xfedcba9876543210, room: 3, publisher: 1, seq: 41, planned: 1795460000123456789}
	const want = `{"edgeload":"1:fedcba9876543210:3:1:41:1795460000123456789;","pad":"xxxxxxxxx"}`
	if got := string(appendMessage(nil, m, len(want))); got != want {
		t.Errorf("message is\n%s, expected\n%s", got, want)
	}
	for _, size := range []int{0, 10, 71, 72, 135, 136, 256, 4096, 100_001} {
		got := appendMessage([]byte("before"), m, size)[len("before"):]
		var object struct{ Edgeload, Pad string }
		if err := json.Unmarshal(got, &object); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if least := len(want) - 9; len(got) != max(size, least) {
			t.Errorf("size %d: message of %d bytes", size, len(got))
		}
	}
}

func TestMessageIsFoundHoweverWrapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := roomMessage{
			run: rapid.Uint64().Draw(t, "run"), room: rapid.IntRange(0, math.MaxInt32).Draw(t, "room"),
			publisher: rapid.IntRange(0, math.MaxInt32).Draw(t, "publisher"),
			seq:       rapid.Int64Range(0, math.MaxInt64).Draw(t, "seq"), planned: rapid.Int64Range(0, math.MaxInt64).Draw(t, "planned"),
		}
		text := string(appendMessage(nil, m, rapid.IntRange(0, 300).Draw(t, "size")))
		for range rapid.IntRange(0, 3).Draw(t, "layers") {
			if rapid.Bool().Draw(t, "escape") {
				quoted, err := json.Marshal(text)
				if err != nil {
					t.Fatal(err)
				}
				text = string(quoted)
			} else {
				indented, err := json.MarshalIndent(map[string]json.RawMessage{"edgeload_event": json.RawMessage(text)}, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				text = string(indented)
			}
		}
		got, rest, ok := nextMessage([]byte(text + text))
		if !ok || got != m {
			t.Fatalf("found %+v, %v in %s", got, ok, text)
		}
		if again, _, ok := nextMessage(rest); !ok || again != m {
			t.Fatalf("the second one: found %+v, %v", again, ok)
		}
	})
}

func TestMessageOfOthersIsNotFound(t *testing.T) {
	good := string(appendMessage(nil, roomMessage{run: 1, planned: 7}, 0))
	for _, s := range []string{
		"", "edgeload", `{"edgeload":1}`, `{"edgeload":"1:"}`, `{"event":"join"}`,
		strings.Replace(good, "1:", "2:", 1),
		strings.Replace(good, "0001:", "001:", 1),
		strings.Replace(good, "0001:", "000A:", 1),
		strings.Replace(good, ":7;", ":;", 1),
		strings.Replace(good, ":7;", ":7", 1),
		strings.Replace(good, ":7;", ":-7;", 1),
		strings.Replace(good, ":7;", ":9223372036854775808;", 1),
		strings.Replace(good, ":0:0:0:", ":2147483648:0:0:", 1),
		good[:strings.Index(good, ";")],
	} {
		if m, _, ok := nextMessage([]byte(s)); ok {
			t.Errorf("found %+v in %s", m, s)
		}
	}
}

func FuzzNextMessage(f *testing.F) {
	m := appendMessage(nil, roomMessage{run: 1 << 63, room: 1, publisher: 2, seq: 3, planned: 4}, 100)
	f.Add(m)
	f.Add([]byte(strings.ReplaceAll(string(m), `"`, `\"`)))
	f.Add(m[:40])
	f.Add([]byte(`edgeloadedgeload": "1:`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for {
			msg, rest, ok := nextMessage(data)
			if !ok {
				return
			}
			if len(rest) >= len(data) || msg.room < 0 || msg.publisher < 0 || msg.seq < 0 || msg.planned < 0 {
				t.Fatalf("%+v from %q leaves %q", msg, data, rest)
			}
			if again, _, ok := nextMessage(appendMessage(nil, msg, 0)); !ok || again != msg {
				t.Fatalf("%+v written and read is %+v, %v", msg, again, ok)
			}
			data = rest
		}
	})
}

func TestRunMarkTellsRunsApart(t *testing.T) {
	seen := make(map[uint64]string)
	for _, run := range []string{"a", "b", "ab", ""} {
		for _, workload := range []string{"a", "b", "ba", ""} {
			for _, start := range []int64{0, 1} {
				mark := runMark(run, workload, start)
				if other, ok := seen[mark]; ok {
					t.Errorf("%s/%s/%d has the mark of %s", run, workload, start, other)
				}
				seen[mark] = run + "/" + workload
			}
		}
	}
}
