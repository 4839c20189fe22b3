package driver

import (
	"fmt"
	"testing"
	"time"
)

// Calls by an id that no answer has given are kept, within bounds, and counted.
func TestNames(t *testing.T) {
	t.Parallel()
	var n names
	n.open()
	const calls = 3 * nameShards * maxUnclaimed
	var dropped int64
	for i := range calls {
		_, known, gave := n.find(fmt.Sprint("job ", i), hearing{at: time.Duration(i)})
		if known {
			t.Fatalf("call %d is known", i)
		}
		dropped += gave
	}
	if waiting := n.unclaimed(); dropped != n.overflow.Load() || waiting+dropped != calls || waiting > nameShards*maxUnclaimed || waiting < nameShards*maxUnclaimed/2 {
		t.Errorf("%d calls: %d wait, %d gave way, %d counted", calls, waiting, dropped, n.overflow.Load())
	}
	last := fmt.Sprint("job ", calls-1)
	n.find(last, hearing{at: 1})
	if earlier, repeated := n.claim(last, 7); repeated || earlier.calls != 2 || earlier.at != calls-1 {
		t.Errorf("earlier %+v, repeated %v", earlier, repeated)
	}
	if seq, known, _ := n.find(last, hearing{}); !known || seq != 7 {
		t.Errorf("arrival %d, %v", seq, known)
	}
	if earlier, repeated := n.claim(last, 8); !repeated || earlier.calls != 0 {
		t.Errorf("earlier %+v, repeated %v", earlier, repeated)
	}
	if seq, known, _ := n.find(last, hearing{}); !known || seq != 8 {
		t.Errorf("arrival %d, %v", seq, known)
	}
	for i := range 2 * nameShards * maxNamed {
		n.claim(fmt.Sprint("other ", i), uint64(i))
	}
	known := 0
	for i := range n.shards {
		known += len(n.shards[i].seqs)
	}
	if known > nameShards*maxNamed || known < nameShards*maxNamed*9/10 {
		t.Errorf("%d names are known", known)
	}
}
