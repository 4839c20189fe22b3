package driver

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A track counts as a map of what was delivered would.
func TestTrackAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 300).Draw(t, "messages")
		base := rapid.Int64Range(0, n).Draw(t, "base")
		end := rapid.Int64Range(base, n).Draw(t, "end")
		var track track
		track.open(n)
		track.base.Store(base)
		track.end.Store(end)
		seen := make(map[int64]bool)
		highest := int64(-1) // of those expected, and of later ones
		for _, seq := range rapid.SliceOfN(rapid.Int64Range(0, n-1), 0, 400).Draw(t, "deliveries") {
			want := arrivalInOrder
			switch {
			case seq < base || seq >= end:
				want = arrivalUnexpected
			case seen[seq]:
				want = arrivalDuplicate
			case seq < highest:
				want = arrivalReordered
			}
			if got := track.arrive(seq); got != want {
				t.Fatalf("message %d is %v, expected %v", seq, got, want)
			}
			seen[seq] = true
			if want == arrivalInOrder || want == arrivalReordered || seq >= end {
				highest = max(highest, seq)
			}
			if track.has(seq) != seen[seq] {
				t.Fatalf("has(%d) = %v", seq, !seen[seq])
			}
		}
		from, to := rapid.Int64Range(0, n).Draw(t, "from"), rapid.Int64Range(0, n).Draw(t, "to")
		var inner, tail int64
		for seq := max(from, base); seq < min(to, end); seq++ {
			switch {
			case seen[seq]:
			case seq < highest:
				inner++
			default:
				tail++
			}
		}
		passed := base >= end || highest >= end-1
		if track.passed() != passed {
			t.Fatalf("passed = %v", !passed)
		}
		if gotInner, gotTail := track.missing(track.span(), from, to); gotInner != inner || gotTail != tail {
			t.Fatalf("missing(%d, %d) = %d, %d, expected %d, %d", from, to, gotInner, gotTail, inner, tail)
		}
	})
}

func TestTrackOfAMemberNeverSettled(t *testing.T) {
	var track track
	track.open(10)
	if got := track.arrive(3); got != arrivalUnexpected {
		t.Errorf("a delivery is %v", got)
	}
	if inner, tail := track.missing(track.span(), 0, 10); inner+tail != 0 {
		t.Errorf("missing %d, %d", inner, tail)
	}
}

// Whatever the order in which receivers count in, each message is complete once,
// with the latest of their instants, and the memory is given back.
func TestSlotsComplete(t *testing.T) {
	const messages, receivers = 3 * slotsPerChunk, 4
	var s slots
	s.open(messages)
	for seq := range int64(messages) {
		s.begin(seq, receivers*int(min(seq%7, 1))) // each seventh has none
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	complete := make(map[int64]time.Duration)
	for r := range receivers {
		wg.Go(func() {
			for i := range int64(messages) {
				seq := (i*5 + int64(r)*97) % messages
				if seq%7 == 0 {
					continue
				}
				if latest, ok := s.arrive(seq, time.Duration(seq*10+int64(r))); ok {
					mu.Lock()
					if _, twice := complete[seq]; twice {
						t.Errorf("message %d is complete twice", seq)
					}
					complete[seq] = latest
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for seq := range int64(messages) {
		if latest, ok := complete[seq]; ok != (seq%7 != 0) || ok && latest != time.Duration(seq*10+receivers-1) {
			t.Fatalf("message %d: complete %v at %d", seq, ok, latest)
		}
	}
	for i := range s.chunks {
		if s.chunks[i].Load() != nil {
			t.Errorf("chunk %d is still held", i)
		}
	}
}
