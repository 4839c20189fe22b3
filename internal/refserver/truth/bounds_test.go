package truth

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// reopen closes l and opens its file again.
func reopen(t *testing.T, l *Ledger, path string) (*Ledger, Recovery) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, found, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, found
}

// TestNoTextIsTooLong: whatever is added, its file can be opened again.
func TestNoTextIsTooLong(t *testing.T) {
	for name, text := range map[string]string{
		"escaped":    strings.Repeat("<", 200_000),
		"of runes":   strings.Repeat("€", 400_000),
		"no UTF-8":   strings.Repeat("\xff", 2<<20),
		"controlled": strings.Repeat("\x00", 1<<20),
	} {
		path := filepath.Join(t.TempDir(), "ledger")
		l, _, err := Open(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(Record{Kind: Kind(text), Name: text, ID: text, Event: text, Detail: text})
		l.Add(Record{Kind: Cron, Name: "after", Event: "fired"})
		for _, r := range l.ring {
			if len(r.Kind) > MaxText || len(r.Name) > MaxText || len(r.ID) > MaxText || len(r.Event) > MaxText || len(r.Detail) > maxDetail {
				t.Errorf("%s: kept %d bytes of name, %d of id, %d of event", name, len(r.Name), len(r.ID), len(r.Event))
			}
			if name == "of runes" && !utf8.ValidString(r.Name) {
				t.Errorf("%s: a rune was cut: %q", name, r.Name)
			}
		}
		if n, err := l.Unwritten(); n != 0 || err != nil {
			t.Errorf("%s: %d unwritten, %v", name, n, err)
		}
		if _, found := reopen(t, l, path); found != (Recovery{Records: 2}) {
			t.Errorf("%s: found %+v", name, found)
		}
	}
}

// TestWriteRefusesWhatReadWould: a line that is too long is lost, and not the file.
func TestWriteRefusesWhatReadWould(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, _, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	room := maxLine - len(encode(Record{})) // beside a Seq of one digit
	l.journal.write(encode(Record{Name: strings.Repeat("x", room)}), 1)
	l.journal.write(encode(Record{Name: strings.Repeat("x", room+1)}), 2)
	l.journal.write(encode(Record{Name: strings.Repeat("x", room)}), 30)
	if n, err := l.Unwritten(); n != 2 || err != nil {
		t.Errorf("%d unwritten, %v", n, err)
	}
	if _, found := reopen(t, l, path); found != (Recovery{Records: 1}) {
		t.Errorf("found %+v", found)
	}
}

// TestInstantsThatJSONCannotCarry are as if they were not given.
func TestInstantsThatJSONCannotCarry(t *testing.T) {
	late, err := time.Parse(time.RFC3339, "9999-12-31T23:59:59-23:00") // the year 10000 in UTC
	if err != nil {
		t.Fatal(err)
	}
	early, err := time.Parse(time.RFC3339, "0000-01-01T00:00:00+23:00") // the year -1
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger")
	l, _, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	l.Add(Record{Kind: Cron, Due: late})
	l.Add(Record{Kind: Cron, Due: early, At: late})
	l.Add(Record{Kind: Cron, Due: last, At: early})
	kept, _ := l.Since(0, 0)
	if _, err := json.Marshal(kept); err != nil {
		t.Error(err)
	}
	if len(kept) != 3 || !kept[0].Due.IsZero() || !kept[1].Due.IsZero() || kept[2].Due != last {
		t.Errorf("kept %+v", kept)
	}
	for _, r := range kept {
		if ago := time.Since(r.At); ago < 0 || ago > time.Minute {
			t.Errorf("happened at %s", r.At)
		}
	}
	if _, found := reopen(t, l, path); found.Records != 3 {
		t.Errorf("found %+v", found)
	}
}

// TestNamesBeyondTheBoundAreCountedTogether, the same way after a restart.
func TestNamesBeyondTheBoundAreCountedTogether(t *testing.T) {
	const more = 500
	path := filepath.Join(t.TempDir(), "ledger")
	l, _, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxCounted + more {
		l.Add(Record{Kind: Cron, Name: fmt.Sprint("job-", i), Event: "received"})
	}
	l.Add(Record{Kind: Cron, Name: "job-0", Event: "received"})
	l.Add(Record{Kind: Job, Name: "track-event", Event: "queued"})
	for _, process := range []string{"the first", "the next"} {
		counts := l.Counts()
		by := map[countKey]uint64{}
		var sum uint64
		for _, c := range counts {
			by[countKey{c.Kind, c.Name, c.Event}] = c.Count
			sum += c.Count
		}
		if len(counts) != maxCounted+2 || sum != maxCounted+more+2 {
			t.Errorf("%s process: %d counts of %d events", process, len(counts), sum)
		}
		if by[countKey{Cron, OtherNames, "received"}] != more || by[countKey{Job, "track-event", "queued"}] != 1 || by[countKey{Cron, "job-0", "received"}] != 2 {
			t.Errorf("%s process: %d other, job-0 %d", process, by[countKey{Cron, OtherNames, "received"}], by[countKey{Cron, "job-0", "received"}])
		}
		if kept, _ := l.Since(maxCounted, 1); len(kept) != 1 || kept[0].Name != fmt.Sprint("job-", maxCounted) {
			t.Errorf("%s process: a record lost its name: %+v", process, kept)
		}
		l, _ = reopen(t, l, path)
	}
	if err := l.Reset(); err != nil {
		t.Fatal(err)
	}
	l.Add(Record{Kind: Cron, Name: "new", Event: "received"})
	if counts := l.Counts(); len(counts) != 1 || counts[0].Name != "new" {
		t.Errorf("after a reset: %+v", counts)
	}
}

// TestSeqOutlivesAReset: who follows a ledger by Seq misses nothing, whatever happens.
func TestSeqOutlivesAReset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, _, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func() { l.Add(Record{Kind: Job, Name: "n", ID: "i", Event: "e"}) }
	if err := l.Reset(); err != nil { // of nothing
		t.Fatal(err)
	}
	l, found := reopen(t, l, path)
	for range 5 {
		add()
	}
	for range 2 { // resets in a row
		if err := l.Reset(); err != nil {
			t.Fatal(err)
		}
		var again Recovery
		l, again = reopen(t, l, path)
		if found != (Recovery{}) || again != found || len(l.Counts()) != 0 {
			t.Errorf("found %+v, then %+v and %+v", found, again, l.Counts())
		}
		if kept, dropped := l.Since(0, 0); len(kept) != 0 || dropped != 0 {
			t.Errorf("kept %+v, dropped %d", kept, dropped)
		}
	}
	add()
	l, found = reopen(t, l, path)
	add()
	kept, dropped := l.Since(5, 0)
	if len(kept) != 2 || kept[0].Seq != 6 || kept[1].Seq != 7 || dropped != 0 || found.Records != 1 {
		t.Errorf("after 5 come %+v, dropped %d, found %+v", kept, dropped, found)
	}
	n := 0
	for r, err := range l.Records(Job) {
		if n++; err != nil || r.Seq != uint64(5+n) {
			t.Errorf("the file has %+v, %v", r, err)
		}
	}
	if n != 2 {
		t.Errorf("the file has %d records", n)
	}
}
