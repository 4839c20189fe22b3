package relay

import (
	"testing"

	"pgregory.net/rapid"
)

func said(number uint64) *envelope {
	return &envelope{kind: kindText, number: number, heard: number - 1}
}
func announced(number, heard uint64) *envelope {
	return &envelope{kind: kindAnnouncement, number: number, heard: heard}
}

func TestLedger(t *testing.T) {
	type step struct {
		e       *envelope
		deliver bool
		missed  uint64
	}
	for name, steps := range map[string][]step{
		"in order":            {{said(1), true, 0}, {said(2), true, 0}},
		"came late":           {{said(41), true, 0}, {said(42), true, 0}},
		"a jump":              {{said(1), true, 0}, {said(5), true, 3}, {said(6), true, 0}},
		"what comes late":     {{said(1), true, 0}, {said(3), true, 1}, {said(2), false, 0}, {said(4), true, 0}},
		"twice":               {{said(1), true, 0}, {said(1), false, 0}},
		"a tail":              {{said(1), true, 0}, {announced(4, 1), false, 3}, {announced(4, 4), false, 0}, {said(5), true, 0}},
		"announced before":    {{announced(7, 7), false, 0}, {said(8), true, 0}},
		"announced at 0":      {{announced(0, 0), false, 0}, {said(3), true, 2}},
		"before its time":     {{announced(3, 0), false, 0}, {said(4), true, 0}},
		"late after the tail": {{said(1), true, 0}, {announced(3, 1), false, 2}, {said(2), false, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			for i, s := range steps {
				if deliver, missed := l.hear(s.e); deliver != s.deliver || missed != s.missed {
					t.Fatalf("step %d: deliver %v, missed %d; want %v, %d", i, deliver, missed, s.deliver, s.missed)
				}
			}
		})
	}
}

// One who was there before anything could be heard has missed what was lost.
func TestLedgerThatIsLate(t *testing.T) {
	for name, e := range map[string]*envelope{
		"announced": announced(5, 2),
		"said":      {kind: kindText, number: 6, heard: 2},
	} {
		l := ledger{late: true}
		if _, missed := l.hear(e); missed != 3 {
			t.Errorf("%s: missed %d, want 3", name, missed)
		}
		if deliver, missed := l.hear(said(7)); !deliver || missed != 7-1-e.number {
			t.Errorf("%s: then missed %d, %v", name, missed, deliver)
		}
	}
	l := ledger{late: true}
	if deliver, missed := l.hear(said(9)); !deliver || missed != 0 {
		t.Errorf("an origin that has lost nothing: missed %d, %v", missed, deliver)
	}
}

// Whatever is lost, doubled or late, and whatever is announced between: each number
// is delivered or missed, once.
func TestLedgerIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l ledger
		l.hear(announced(0, 0))
		n := rapid.Uint64Range(1, 60).Draw(t, "messages")
		var delivered, missed, late uint64
		var held []*envelope
		hear := func(e *envelope) {
			deliver, gap := l.hear(e)
			missed += gap
			if deliver {
				delivered++
			}
		}
		for number := uint64(1); number <= n; number++ {
			switch rapid.IntRange(0, 5).Draw(t, "fate") {
			case 0: // lost
			case 1: // overtaken
				held = append(held, said(number))
				late++
			case 2:
				hear(said(number))
				hear(said(number))
			case 3:
				hear(said(number))
				hear(announced(number, number))
			default:
				hear(said(number))
			}
			if len(held) > 0 && rapid.Bool().Draw(t, "comes late") {
				hear(held[0])
				held = held[1:]
			}
		}
		hear(announced(n, 0))
		if delivered+missed != n {
			t.Fatalf("%d delivered and %d missed of %d", delivered, missed, n)
		}
	})
}

func TestLedgerIsBounded(t *testing.T) {
	var l ledger
	for stay := range uint64(3 * mostAccounts) {
		if deliver, missed := l.hear(&envelope{kind: kindText, origin: origin{1, stay}, number: 5}); !deliver || missed != 0 {
			t.Fatal("a new origin's first message is not a beginning")
		}
		l.hear(&envelope{kind: kindText, origin: origin{2, 0}, number: stay + 1}) // never silent
	}
	if len(l.accounts) != mostAccounts {
		t.Errorf("%d accounts are kept, want %d", len(l.accounts), mostAccounts)
	}
	if _, missed := l.hear(&envelope{kind: kindText, origin: origin{2, 0}, number: 3*mostAccounts + 3}); missed != 2 {
		t.Errorf("the one that was never silent is forgotten: missed %d, want 2", missed)
	}
}
