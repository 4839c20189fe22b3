package truth

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Of a Record's texts so much is kept, in bytes.
const (
	MaxText   = 256     // of Kind, Name, ID and Event each
	maxDetail = 4 << 10 // of Detail
)

// maxCounted is how many names and events of one kind are counted apart. Names may
// come from who calls a server; kinds and events are its own, and few.
const maxCounted = 10_000

// OtherNames is the name under which Counts has the events of all names that came
// when 10,000 counts of their kind were there. Their records keep their names.
const OtherNames = "(other)"

// Ledger keeps records. Its methods may be called concurrently, and on nil, which
// keeps nothing.
type Ledger struct {
	mu      sync.Mutex
	keep    int
	last    uint64 // Seq of the newest record
	since   uint64 // Seq of the last record before the last Reset
	ring    []Record
	oldest  int // index into ring, once it is full
	counts  map[countKey]uint64
	apart   map[Kind]int // how many of counts are not OtherNames
	journal *journal     // nil: memory only
}

type countKey struct {
	kind        Kind
	name, event string
}

// New returns an empty Ledger that keeps the newest records, DefaultKeep of them
// where keep is 0 or less.
func New(keep int) *Ledger {
	if keep <= 0 {
		keep = DefaultKeep
	}
	return &Ledger{keep: keep, counts: make(map[countKey]uint64), apart: make(map[Kind]int)}
}

// Add keeps a record and gives it its Seq. An At of zero is now. Instants are kept in
// UTC; one that JSON cannot carry there, before the year 0 or after 9999, is as zero.
// Of Detail the first 4 KiB are kept, of each other text the first MaxText bytes.
func (l *Ledger) Add(r Record) {
	if l == nil {
		return
	}
	r.Due = instant(r.Due)
	if r.At = instant(r.At); r.At.IsZero() {
		r.At = instant(time.Now())
	}
	r.Kind, r.Detail = Kind(clip(string(r.Kind), MaxText)), clip(r.Detail, maxDetail)
	r.Name, r.ID, r.Event = clip(r.Name, MaxText), clip(r.ID, MaxText), clip(r.Event, MaxText)
	var line []byte
	if l.journal != nil {
		line = encode(r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Seq = l.last + 1
	if l.journal != nil {
		l.journal.write(line, r.Seq)
	}
	l.note(r)
}

// instant is t in UTC, without the monotonic reading, which means nothing to who reads
// it later; zero where JSON has no form for it.
func instant(t time.Time) time.Time {
	t = t.Round(0).UTC()
	if year := t.Year(); t.IsZero() || year < 0 || year > 9999 {
		return time.Time{}
	}
	return t
}

// clip is the beginning of a text, in whole runes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:most], "")) // the rest is not held
}

// note keeps a record that has its Seq.
func (l *Ledger) note(r Record) {
	l.last = r.Seq
	l.count(countKey{r.Kind, r.Name, r.Event})
	if len(l.ring) < l.keep {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.oldest] = r
	l.oldest = (l.oldest + 1) % l.keep
}

// count counts an event, under OtherNames where too many are counted already. In what
// order names came is in the file too: the next process counts alike.
func (l *Ledger) count(key countKey) {
	if _, known := l.counts[key]; !known && key.name != OtherNames {
		if l.apart[key.kind] < maxCounted {
			l.apart[key.kind]++
		} else {
			key.name = OtherNames
		}
	}
	l.counts[key]++
}

// Counts is how often each event happened since the last Reset, those of earlier
// processes that the file tells of included; by kind, name and event. Of each kind
// 10,000 are kept apart, the rest is under OtherNames.
func (l *Ledger) Counts() []Count {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	all := make([]Count, 0, len(l.counts))
	for key, n := range l.counts {
		all = append(all, Count{Kind: key.kind, Name: key.name, Event: key.event, Count: n})
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Event, b.Event))
	})
	return all
}

// Since returns the records that came after the one with that Seq, the oldest first,
// and at most limit of them where limit is above zero; and how many more there were
// that are not kept any more. To follow a Ledger, ask again with the Seq of the last
// record; to see it all, begin at 0.
func (l *Ledger) Since(seq uint64, limit int) (records []Record, dropped uint64) {
	if l == nil {
		return nil, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := func(i int) *Record { return &l.ring[(l.oldest+i)%len(l.ring)] }
	first := sort.Search(len(l.ring), func(i int) bool { return at(i).Seq > seq })
	kept := len(l.ring) - first
	if after := max(seq, l.since); l.last > after {
		dropped = l.last - after - uint64(kept)
	}
	if limit > 0 {
		kept = min(kept, limit)
	}
	records = make([]Record, kept)
	for i := range records {
		records[i] = *at(first + i)
	}
	return records, dropped
}

// Reset forgets everything, what is in the file too. Seq goes on counting, after the
// next Open too: one line is left in the file, with the last Seq. Only where that line
// could not be written, which Unwritten counts, or the process was killed right before
// it, the next process begins at 1. The error is the file's, which is then as it was.
func (l *Ledger) Reset() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.journal != nil {
		if err := l.journal.truncate(0); err != nil {
			return err
		}
		if l.last > 0 {
			l.journal.write([]byte(resetLine), l.last)
		}
	}
	l.since = l.last
	l.ring, l.oldest = nil, 0
	clear(l.counts)
	clear(l.apart)
	return nil
}
