package stream

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seen is an Event copied out of the call.
type seen struct{ Type, Data, ID, Comment string }

// feed gives the parser the chunks and returns what came out.
func feed(p *Parser, chunks ...string) ([]seen, error) {
	var out []seen
	for _, c := range chunks {
		err := p.Feed([]byte(c), func(e Event) {
			out = append(out, seen{string(e.Type), string(e.Data), string(e.ID), string(e.Comment)})
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func TestParser(t *testing.T) {
	ev := func(kind, data, id string) seen { return seen{kind, data, id, ""} }
	tests := []struct {
		name   string
		chunks []string
		want   []seen
	}{
		{"plain", []string{"data: hello\n\n"}, []seen{ev("", "hello", "")}},
		{"type and id", []string{"event: add\nid: 7\ndata: x\n\n"}, []seen{ev("add", "x", "7")}},
		{"no space after the colon", []string{"data:x\n\n"}, []seen{ev("", "x", "")}},
		{"one space is stripped, not two", []string{"data:  x \n\n"}, []seen{ev("", " x ", "")}},
		{"data lines join", []string{"data: a\ndata\ndata: b\n\n"}, []seen{ev("", "a\n\nb", "")}},
		{"empty data is an event", []string{"data\n\ndata:\n\n"}, []seen{ev("", "", ""), ev("", "", "")}},
		{"two empty data lines are one LF", []string{"data\ndata\n\n"}, []seen{ev("", "\n", "")}},
		{"CRLF", []string{"event: a\r\ndata: x\r\n\r\ndata: y\r\n\r\n"}, []seen{ev("a", "x", ""), ev("", "y", "")}},
		{"CR", []string{"event: a\rdata: x\r\rdata: y\r\r"}, []seen{ev("a", "x", ""), ev("", "y", "")}},
		{"mixed ends", []string{"data: a\r\ndata: b\rdata: c\n\r\n"}, []seen{ev("", "a\nb\nc", "")}},
		{"CRLF split between reads", []string{"data: x\r", "\n\r", "\ndata: y\r", "\n", "\r", "\n"}, []seen{ev("", "x", ""), ev("", "y", "")}},
		{"CR dispatches without waiting", []string{"data: x\r\r"}, []seen{ev("", "x", "")}},
		{"byte order mark", []string{"\xef\xbb\xbfdata: x\n\n"}, []seen{ev("", "x", "")}},
		{"byte order mark in pieces", []string{"\xef", "\xbb", "\xbf", "data: x\n\n"}, []seen{ev("", "x", "")}},
		{"only one byte order mark", []string{"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n"}, []seen{ev("", "y", "")}},
		{"no byte order mark after all", []string{"\xef", "\xbb", "data: x\n\ndata: y\n\n"}, []seen{ev("", "y", "")}},
		{"comment", []string{": hi\ndata: x\n\n"}, []seen{{"", "x", "", " hi"}}},
		{"last comment wins", []string{":a\n:b\ndata: x\n\n"}, []seen{{"", "x", "", "b"}}},
		{"comments belong to their block", []string{":a\n\ndata: x\n\n:b\ndata: y\n\ndata: z\n\n"},
			[]seen{ev("", "x", ""), {"", "y", "", "b"}, ev("", "z", "")}},
		{"empty comment", []string{":\ndata: x\n\n"}, []seen{{"", "x", "", ""}}},
		{"no data, no event, type forgotten", []string{"event: a\n\ndata: x\n\n"}, []seen{ev("", "x", "")}},
		{"type does not persist", []string{"event: a\ndata: x\n\ndata: y\n\n"}, []seen{ev("a", "x", ""), ev("", "y", "")}},
		{"id persists", []string{"id: 1\ndata: x\n\ndata: y\n\nid\ndata: z\n\n"}, []seen{ev("", "x", "1"), ev("", "y", "1"), ev("", "z", "")}},
		{"id with NUL is ignored", []string{"id: 1\n\nid: 2\x00\ndata: x\n\n"}, []seen{ev("", "x", "1")}},
		{"unknown fields", []string{"foo: 1\nDATA: y\n data: z\ndata : w\ndata: x\n\n"}, []seen{ev("", "x", "")}},
		{"value with colons", []string{"data: a: b:c\n\n"}, []seen{ev("", "a: b:c", "")}},
		{"unfinished line", []string{"data: x\n\ndata: y"}, []seen{ev("", "x", "")}},
		{"unfinished event", []string{"data: x\n\ndata: y\n"}, []seen{ev("", "x", "")}},
		{"blank lines alone", []string{"\n\r\n\r\r\n\n"}, nil},
		{"a byte at a time", strings.Split("event: a\r\nid: 1\r\ndata: xy\r\n\r\ndata: z\r\n\r\n", ""), []seen{ev("a", "xy", "1"), ev("", "z", "1")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := feed(new(Parser), tt.chunks...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParserRetry(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"retry: 2500\n", 2500, true},
		{"retry: 10\nretry: x\n", 10, true},
		{"retry: -1\n", 0, false},
		{"retry: 1.5\n", 0, false},
		{"retry:  7\n", 0, false},
		{"retry\n", 0, false},
		{"retry: 99999999999999999999\n", 1<<63 - 1, true},
	} {
		var p Parser
		if _, err := feed(&p, tt.in); err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Retry(); got != tt.want || ok != tt.ok {
			t.Errorf("%q: Retry() = %d, %v, want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestParserLimit(t *testing.T) {
	for name, in := range map[string]string{
		"line":           "data: " + strings.Repeat("x", 100),
		"data lines":     strings.Repeat("data: 1234567\n", 20),
		"comment":        ":" + strings.Repeat("x", 100) + "\n",
		"after an event": "data: x\n\nid: " + strings.Repeat("x", 100) + "\n",
	} {
		for _, size := range []int{1, 7, len(in)} {
			t.Run(fmt.Sprintf("%s in pieces of %d", name, size), func(t *testing.T) {
				p := &Parser{MaxEvent: 64}
				var err error
				for chunk := range chunks(in, size) {
					if _, err = feed(p, chunk); err != nil {
						break
					}
				}
				if !errors.Is(err, ErrTooLarge) {
					t.Fatalf("error is %v, want ErrTooLarge", err)
				}
				if again := p.Feed([]byte("data: x\n\n"), func(Event) { t.Error("event after the error") }); again == nil {
					t.Error("the error did not stay")
				}
				p.Reset()
				if got, err := feed(p, "data: y\n\n"); err != nil || len(got) != 1 {
					t.Errorf("after Reset: %v, %v", got, err)
				}
			})
		}
	}
	// Blocks beneath the limit and heartbeats go on for ever.
	p := &Parser{MaxEvent: 64}
	got, err := feed(p, strings.Repeat(": ping\n", 100)+strings.Repeat("data: 1234567\n\n", 100))
	if err != nil || len(got) != 100 {
		t.Errorf("%d events, error %v", len(got), err)
	}
}

func TestParserResetForgets(t *testing.T) {
	var p Parser
	if _, err := feed(&p, "id: 1\nretry: 5\n:c\nevent: a\ndata: x\ndata: unfin\r"); err != nil {
		t.Fatal(err)
	}
	p.Reset()
	got, err := feed(&p, "\ndata: y\n\n")
	if diff := cmp.Diff([]seen{{"", "y", "", ""}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, ok := p.Retry(); ok {
		t.Error("retry survived Reset")
	}
}

// chunks cuts s into pieces of size bytes.
func chunks(s string, size int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			n := min(size, len(s))
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
	}
}

// byTheBook is §9.2 in its plainest form: all of the stream at once, lines
// normalised first.
func byTheBook(in string) []seen {
	in = strings.TrimPrefix(in, "\xef\xbb\xbf")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	var (
		out                     []seen
		data, kind, id, comment string
	)
	for _, line := range lines[:len(lines)-1] { // the last has no end
		field, value, _ := strings.Cut(line, ":")
		switch {
		case line == "":
			if data != "" {
				out = append(out, seen{kind, strings.TrimSuffix(data, "\n"), id, comment})
			}
			data, kind, comment = "", "", ""
			continue
		case line[0] == ':':
			comment = value
			continue
		}
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			data += value + "\n"
		case "event":
			kind = value
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		}
	}
	return out
}

func FuzzParser(f *testing.F) {
	for i, seed := range []string{
		"data: hello\n\n",
		"\xef\xbb\xbfevent: a\r\nid: 1\r\ndata: x\r\n\r\n",
		": sent=1\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n",
		"data: a\rdata: b\r\r: c\r\rdata\r\r",
		"id: 1\x00\nretry: 10\n\ndata:\n\nfoo\n\ndata: end",
		"\xef\xbbdata: x\n\n",
	} {
		f.Add(seed, uint64(i))
	}
	f.Fuzz(func(t *testing.T, in string, seed uint64) {
		want := byTheBook(in)
		whole, err := feed(new(Parser), in)
		if err != nil {
			return // beyond the limit, which TestParserLimit is about
		}
		if diff := cmp.Diff(want, whole); diff != "" {
			t.Errorf("in one piece: %s", diff)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		var cut []string
		for rest := in; len(rest) > 0; {
			n := min(1+rng.IntN(9), len(rest))
			cut, rest = append(cut, rest[:n]), rest[n:]
		}
		p := new(Parser)
		if _, err := feed(p, "id: x\n:c\ndata: left over\r"); err != nil {
			t.Fatal(err)
		}
		p.Reset()
		pieces, err := feed(p, cut...)
		if diff := cmp.Diff(want, pieces); diff != "" || err != nil {
			t.Errorf("in pieces: %s %v", diff, err)
		}
	})
}

// anthropicChunk is what one token looks like on the wire, stamp included.
const anthropicChunk = ": sent=1795460000000000000\nevent: content_block_delta\n" +
	`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello \u00e9\n"}}` + "\n\n"

func TestNoAllocations(t *testing.T) {
	openAIChunk := `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}` + "\r\n\r\n"
	for name, wire := range map[string]string{"anthropic": anthropicChunk, "openai": openAIChunk, "text": "data: hello\n\n"} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			d := newDecoder(Auto)
			tokens := 0
			emit := func(e Event) {
				if d.Decode(e).Token == Content {
					tokens++
				}
			}
			in := []byte(wire)
			half := len(in) / 2
			n := testing.AllocsPerRun(200, func() {
				_ = p.Feed(in, emit)
				_ = p.Feed(in[:half], emit)
				_ = p.Feed(in[half:], emit)
			})
			if n != 0 {
				t.Errorf("%v allocations for two events", n)
			}
			if tokens != 402 {
				t.Errorf("%d tokens, want 402", tokens)
			}
		})
	}
}

func BenchmarkAnthropicToken(b *testing.B) {
	var p Parser
	d := newDecoder(Anthropic)
	emit := func(e Event) { d.Decode(e) }
	in := []byte(anthropicChunk)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Feed(in, emit); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParserFullRead(b *testing.B) {
	in := bytes.Repeat([]byte(anthropicChunk), 4096/len(anthropicChunk))
	var p Parser
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Feed(in, func(Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}
