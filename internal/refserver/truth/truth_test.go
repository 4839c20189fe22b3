package truth

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// childVariable holds, for the process that TestSIGKILL starts, its ledger's path.
const childVariable = "TRUTH_TEST_LEDGER"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		addForever(path)
	}
	os.Exit(m.Run())
}

// addForever adds records and says of each, once Add has returned, that it is kept.
func addForever(path string) {
	l, _, err := Open(path, 10)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", g, i)
				l.Add(Record{Kind: Job, Name: "kill", ID: id, Event: "queued", Detail: strings.Repeat("x", i%300)})
				mu.Lock()
				fmt.Println(id)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestSIGKILLLosesNothingThatWasPromised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	want := map[string]int{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			want[lines.Text()]++
			if n == 500+round*137 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	l, found, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for r, err := range l.Records(Job) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.ID]++
	}
	for id, n := range want {
		if got[id] < n {
			t.Errorf("%s was promised %d times and is there %d times", id, n, got[id])
		}
	}
	if total := uint64(len(want)); total < 500 || found.Records < total {
		t.Errorf("promised %d, found %d", total, found.Records)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestCountsAndSince(t *testing.T) {
	l := New(3)
	for i, event := range []string{"queued", "completed", "queued", "lost", "queued"} {
		l.Add(Record{Kind: Job, Name: "track-event", ID: strconv.Itoa(i), Event: event})
	}
	l.Add(Record{Kind: Cron, Name: "a", Event: "fired"})
	if diff := cmp.Diff([]Count{
		{Cron, "a", "fired", 1}, {Job, "track-event", "completed", 1}, {Job, "track-event", "lost", 1}, {Job, "track-event", "queued", 3},
	}, l.Counts()); diff != "" {
		t.Error(diff)
	}
	for _, tc := range []struct {
		seq     uint64
		limit   int
		want    []uint64
		dropped uint64
	}{
		{0, 0, []uint64{4, 5, 6}, 3}, {2, 0, []uint64{4, 5, 6}, 1}, {3, 2, []uint64{4, 5}, 0}, {5, 0, []uint64{6}, 0}, {6, 0, []uint64{}, 0}, {99, 0, []uint64{}, 0},
	} {
		records, dropped := l.Since(tc.seq, tc.limit)
		got := []uint64{}
		for _, r := range records {
			got = append(got, r.Seq)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || dropped != tc.dropped {
			t.Errorf("since %d: dropped %d, want %d; %s", tc.seq, dropped, tc.dropped, diff)
		}
	}
	if err := l.Reset(); err != nil {
		t.Fatal(err)
	}
	l.Add(Record{Kind: Job, Name: "n", Event: "e"})
	records, dropped := l.Since(0, 0)
	if len(records) != 1 || records[0].Seq != 7 || dropped != 0 || len(l.Counts()) != 1 {
		t.Errorf("after a reset: %v, dropped %d, %v", records, dropped, l.Counts())
	}
}

func TestNilKeepsNothing(t *testing.T) {
	var l *Ledger
	l.Add(Record{})
	records, dropped := l.Since(0, 0)
	if records != nil || dropped != 0 || l.Counts() != nil || l.Reset() != nil || l.Close() != nil {
		t.Error("a nil ledger kept something")
	}
	for r, err := range l.Records(Job) {
		t.Errorf("a nil ledger has %v, %v", r, err)
	}
}

// TestModel plays random histories, with openings anew, against a plain list.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	var n int
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, strconv.Itoa(n))
		keep := rapid.IntRange(1, 8).Draw(t, "keep")
		var model []Record // since the last reset
		var last uint64
		l, _, err := Open(path, keep)
		if err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r := Record{
					At:   time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 123).UTC(),
					Kind: rapid.SampledFrom([]Kind{Worker, Job}).Draw(t, "kind"), Name: rapid.String().Draw(t, "name"),
					ID: rapid.StringMatching(`[a-z]{1,2}`).Draw(t, "id"), Event: rapid.SampledFrom([]string{"queued", "completed", "lost"}).Draw(t, "event"),
				}
				if rapid.Bool().Draw(t, "due") {
					r.Due = r.At.Add(-time.Second)
				}
				l.Add(r)
				last++
				r.Seq = last
				model = append(model, r)
			},
			"reset": func(t *rapid.T) {
				if err := l.Reset(); err != nil {
					t.Fatal(err)
				}
				model = nil
			},
			"reopen": func(t *rapid.T) {
				half := rapid.SampledFrom([]string{"", "{", `{"seq":`, `{"seq":9999999,"at":"2026-01-01T00:00:00Z","kind":"jo`}).Draw(t, "half")
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString(half); err != nil {
					t.Fatal(err)
				}
				_ = f.Close()
				var found Recovery
				if l, found, err = Open(path, keep); err != nil {
					t.Fatal(err)
				}
				if found != (Recovery{Records: uint64(len(model)), Cut: int64(len(half))}) {
					t.Fatalf("found %+v, want %d records and %d bytes cut", found, len(model), len(half))
				}
			},
			"": func(t *rapid.T) {
				counts := map[countKey]uint64{}
				var jobs []Record
				for _, r := range model {
					counts[countKey{r.Kind, r.Name, r.Event}]++
					if r.Kind == Job {
						jobs = append(jobs, r)
					}
				}
				for _, c := range l.Counts() {
					if counts[countKey{c.Kind, c.Name, c.Event}] != c.Count {
						t.Fatalf("count %v", c)
					}
				}
				if len(l.Counts()) != len(counts) {
					t.Fatalf("counts %v, want %v", l.Counts(), counts)
				}
				got, dropped := l.Since(0, 0)
				if int(dropped) != max(0, len(model)-keep) || len(got) != min(keep, len(model)) {
					t.Fatalf("kept %d, dropped %d of %d", len(got), dropped, len(model))
				}
				for i, r := range got {
					if r != model[len(model)-len(got)+i] {
						t.Fatalf("record %d: %+v, want %+v", i, r, model[len(model)-len(got)+i])
					}
				}
				i := 0
				for r, err := range l.Records(Job) {
					if err != nil || i == len(jobs) || r != jobs[i] {
						t.Fatalf("job %d: %+v, %v; want %+v", i, r, err, jobs)
					}
					i++
				}
				if i != len(jobs) {
					t.Fatalf("%d jobs, want %+v", i, jobs)
				}
			},
		})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDamageIsNotRepairedSilently(t *testing.T) {
	const good = `{"seq":1,"at":"2026-01-01T00:00:00Z","kind":"job","name":"n","id":"i","event":"e"}` + "\n"
	for name, text := range map[string]string{
		"another file":      "root:x:0:0\n",
		"without a newline": "\x7fELF",
		"in the middle":     good + "{\"seq\":2,\n" + strings.ReplaceAll(good, ":1,", ":3,"),
		"backwards":         strings.ReplaceAll(good, ":1,", ":3,") + good,
		"reset later":       good + `{"seq":2,"reset":true}` + "\n",
		"unknown field":     `{"seq":1,"colour":"red"}` + "\n",
		"two in a line":     strings.TrimSpace(good) + good,
		"endless":           `{"seq":1,"name":"` + strings.Repeat("x", maxLine),
	} {
		path := filepath.Join(t.TempDir(), "ledger")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(path, 0); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: opened with %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestOneProcessAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, _, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path, 0); err == nil {
		t.Error("opened twice")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Add(Record{Kind: Job, Name: "late", Event: "e"})
	if n, _ := l.Unwritten(); n != 1 || len(l.Counts()) != 1 {
		t.Errorf("after Close: %d unwritten, %v", n, l.Counts())
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"seq":1,"at":"2026-01-01T00:00:00Z","kind":"job","name":"n","id":"i","event":"e"}` + "\n"))
	f.Add([]byte("{\"seq\":"))
	f.Add([]byte(`{"seq":7,"reset":true}` + "\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var again bytes.Buffer
		var n int
		rest, err := read(bytes.NewReader(text), func(e entry) error {
			n++
			if line := encode(e.Record); line != nil {
				again.WriteString(seqField + strconv.FormatUint(e.Seq, 10))
				again.Write(line[len(noSeq):])
			} else {
				n--
			}
			return nil
		})
		if err != nil {
			return
		}
		if rest < 0 || rest > int64(len(text)) || bytes.Count(text, []byte("\n")) < n {
			t.Fatalf("%d records, %d bytes left of %d", n, rest, len(text))
		}
		var m int
		if rest, err := read(&again, func(entry) error { m++; return nil }); err != nil || rest != 0 || m != n {
			t.Fatalf("written again: %d of %d records, %d bytes left, %v", m, n, rest, err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	r := Record{Kind: Worker, Name: "stream-ai", ID: "1", Event: "booted"}
	b.Run("memory", func(b *testing.B) {
		l := New(1000)
		b.ReportAllocs()
		for b.Loop() {
			l.Add(r)
		}
	})
	b.Run("file", func(b *testing.B) {
		l, _, err := Open(filepath.Join(b.TempDir(), "ledger"), 1000)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			l.Add(r)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
