package scenario

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func sampleData() *Data {
	return &Data{Seq: 7, User: 3, Room: "r 1", Workload: "chat", RunID: "run", Seed: 1, Feed: map[string]string{"name": `A"b`, "n": "5"}}
}

func render(t *testing.T, name, text string, d *Data) string {
	t.Helper()
	tmpl, err := CompileTemplate(name, text)
	if err != nil {
		t.Fatalf("compile %q: %v", text, err)
	}
	out, err := tmpl.Append([]byte("> "), d)
	if err != nil {
		t.Fatalf("run %q: %v", text, err)
	}
	return strings.TrimPrefix(string(out), "> ")
}

func TestTemplateData(t *testing.T) {
	for text, want := range map[string]string{
		"plain {text} <&>": "plain {text} <&>",
		"":                 "",
		"{{ .Seq }}/{{ .User }}/{{ .Room }}/{{ .Workload }}/{{ .RunID }}": "7/3/r 1/chat/run",
		"{{ .Feed.name | json }} {{ .Feed.n }}":                           `"A\"b" 5`,
		`{{ json "<&>" }}`:                                                `"<&>"`,
		"{{ .Room | urlquery }}":                                          "r+1",
		"{{ upper .Room }} {{ lower .RunID }}":                            "R 1 run",
		"{{ range 3 }}x{{ end }}":                                         "xxx",
		"{{ if gt .Seq 5 }}a{{ else }}b{{ end }}":                         "a",
		"{{ randInt 4 4 }}":                                               "4",
		"{{ randText 0 }}|{{ randHex 0 }}":                                "|",
	} {
		if got := render(t, "t", text, sampleData()); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	for text, form := range map[string]string{
		"{{ uuid }}":        `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`,
		"{{ randHex 7 }}":   `^[0-9a-f]{7}$`,
		"{{ randText 40 }}": `^[a-z ]{40}$`,
		"{{ randInt 3 9 }}": `^[3-9]$`,
		"{{ .Prompt }}":     `^[A-Z]([A-Za-z]+ ){9,59}[a-z]+\?$`,
		"{{ randInt -9223372036854775808 9223372036854775807 }}": `^-?[0-9]+$`,
	} {
		d := sampleData()
		for d.Seq = range 200 {
			if got := render(t, "t", text, d); !regexp.MustCompile(form).MatchString(got) {
				t.Fatalf("%q gives %q, want %s", text, got, form)
			}
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{{ .Nope }}":           "can't evaluate field Nope of an arrival's data",
		"{{ .Feed.nope }}":      `map has no entry for key "nope"`,
		"{{ nope }}":            `function "nope" not defined`,
		"{{ env \"HOME\" }}":    `function "env" not defined`,
		"a\nb {{ .Seq":          "line 2: unclosed action",
		"{{ if }}":              "missing value for if",
		"{{ randInt 5 1 }}":     "the smaller number comes first",
		"{{ randText -1 }}":     "want a length",
		"{{ randHex 9999999 }}": "want a length",
		`{{ define "x" }}{{ end }}{{ template "x" }}`:        "calls no other",
		"{{ range 100001 }}{{ end }}":                        "more than 100000 times",
		"{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}": "more than 100000 times in all",
		"{{ range .Feed }}{{ end }}":                         "takes a whole number",
		"{{ $x := 99 }}{{ range $x }}{{ end }}":              "takes a whole number",
		"{{ range 90 }}{{ randText 1000000 }}{{ end }}":      "the text grows above",
	} {
		tmpl, err := CompileTemplate("t", text)
		if err == nil {
			var out []byte
			out, err = tmpl.Append([]byte("before"), sampleData())
			if string(out) != "before" {
				t.Errorf("%q: an error left %d bytes behind", text, len(out))
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// The same seed, workload, template and sequence number give the same text, from
// however many goroutines; any other gives another.
func TestTemplateDraws(t *testing.T) {
	const text = "{{ uuid }} {{ randInt 0 1000000000 }} {{ .Prompt }}"
	tmpl, err := CompileTemplate("body", text)
	if err != nil {
		t.Fatal(err)
	}
	const arrivals = 500
	texts := make([]string, arrivals)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for seq := g; seq < arrivals; seq += 8 {
				d := sampleData()
				d.Seq = uint64(seq)
				out, err := tmpl.Append(nil, d)
				if err != nil {
					t.Error(err)
				}
				texts[seq] = string(out)
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for seq := range arrivals {
		d := sampleData()
		d.Seq = uint64(seq)
		if again := render(t, "body", text, d); again != texts[seq] {
			t.Fatalf("arrival %d: %q, then %q", seq, texts[seq], again)
		}
		seen[texts[seq]] = true
	}
	other, room := sampleData(), sampleData()
	other.Seed, room.Workload = 2, "other"
	for _, different := range []string{render(t, "body", text, other), render(t, "body", text, room), render(t, "path", text, sampleData())} {
		seen[different] = true
	}
	if len(seen) != arrivals+3 {
		t.Errorf("%d different texts, want %d", len(seen), arrivals+3)
	}
	withPrompt := sampleData()
	withPrompt.Feed["prompt"] = "Mine."
	if got := render(t, "t", "{{ .Prompt }}", withPrompt); got != "Mine." {
		t.Errorf("the feed's prompt is %q", got)
	}
}

// randInt reaches every number of its range about equally often.
func TestRandInt(t *testing.T) {
	counts := make(map[string]int)
	d := sampleData()
	for d.Seq = range 6000 {
		counts[render(t, "t", "{{ randInt -1 4 }}", d)]++
	}
	for n := -1; n <= 4; n++ {
		if c := counts[fmt.Sprint(n)]; c < 850 || c > 1150 {
			t.Errorf("%d came %d times in 6000", n, c)
		}
	}
	if len(counts) != 6 {
		t.Errorf("drew %v", counts)
	}
}

func TestStaticTemplateDoesNotAllocate(t *testing.T) {
	tmpl, err := CompileTemplate("body", "no action at all")
	if err != nil {
		t.Fatal(err)
	}
	d, buf := sampleData(), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := tmpl.Append(buf, d); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for static text", n)
	}
}

func BenchmarkTemplate(b *testing.B) {
	tmpl, err := CompileTemplate("body", `{"prompt": {{ .Prompt | json }}}`)
	if err != nil {
		b.Fatal(err)
	}
	d, buf := sampleData(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		d.Seq++
		if _, err := tmpl.Append(buf, d); err != nil {
			b.Fatal(err)
		}
	}
}
