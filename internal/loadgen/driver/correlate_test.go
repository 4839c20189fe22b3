package driver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

const aMark = 0x6b0f3a0012345678

// allPlaces is a call that names an arrival wherever one may be named.
func allPlaces(text string) *sink.Call {
	return &sink.Call{
		Rest: text, Query: url.Values{"job": {text}}, Header: http.Header{"X-Job": {text}},
		Body: fmt.Appendf(nil, `{"attachments": [{"text": %q}], "n": 7, "nothing": null}`, text),
	}
}

func correlators(t *testing.T) map[string]*correlator {
	t.Helper()
	all := make(map[string]*correlator)
	for name, c := range map[string]*scenario.Correlation{
		"default": nil, "path": {}, "header": {Header: "x-job"}, "query": {Query: "job"}, "json": {JSON: pathOf(t, "$.attachments[0].text")},
	} {
		var err error
		if all[name], err = newCorrelator(c); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestCorrelation(t *testing.T) {
	id := scenario.ArrivalID(aMark, 17)
	for _, tt := range []struct {
		text string
		seq  uint64
		ok   bool
	}{
		{id, 17, true},
		{scenario.ArrivalID(aMark, 0), 0, true},
		{scenario.ArrivalID(aMark, 1<<64-1), 1<<64 - 1, true},
		{"User ada triggered job " + id + ".", 17, true},
		{"6b0f3a00" + id + "/again", 17, true}, // what looks like its beginning stands before it
		{id[:16] + "- then " + id, 17, true},
		{scenario.ArrivalID(aMark+1, 17), 0, false}, // of another run or workload
		{id[:16], 0, false},
		{id[:17], 0, false},
		{id[:16] + "-x", 0, false},
		{id[:16] + "-017", 0, false},
		{id[:16] + "-18446744073709551616", 0, false},
		{"", 0, false},
	} {
		for name, c := range correlators(t) {
			h := c.hear(allPlaces(tt.text))
			if seq, ok := c.arrival(h, aMark); seq != tt.seq || ok != tt.ok {
				t.Errorf("%s %q: %d, %v", name, tt.text, seq, ok)
			}
			if got := c.named(h); got != tt.text {
				t.Errorf("%s %q: named %q", name, tt.text, got)
			}
			c.release(h)
		}
	}
}

// A call that names nothing belongs to nothing.
func TestCorrelationOfNothing(t *testing.T) {
	for name, c := range correlators(t) {
		for _, body := range []string{"", "oops", "[]", `{"attachments": [{"text": null}]}`, `{"attachments": []}`} {
			h := c.hear(&sink.Call{Body: []byte(body)})
			if seq, ok := c.arrival(h, aMark); ok || seq != 0 || c.named(h) != "" {
				t.Errorf("%s %q: %d, %v, %q", name, body, seq, ok, c.named(h))
			}
			c.release(h)
		}
	}
	c, err := newCorrelator(&scenario.Correlation{JSON: pathOf(t, "$.n"), ID: "{{ .Vars.job }}-{{ .User }}"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.named(c.hear(allPlaces(""))); got != "7" {
		t.Errorf("a number names %q", got)
	}
	key, err := c.key(&scenario.Data{User: 3, Vars: map[string]string{"job": "a"}})
	if err != nil || key != "a-3" || !c.late {
		t.Errorf("key %q, %v, known late: %v", key, err, c.late)
	}
	if _, err := c.key(&scenario.Data{}); err == nil {
		t.Error("a key without what was extracted")
	}
}

func FuzzFindArrival(f *testing.F) {
	f.Add("triggered "+scenario.ArrivalID(aMark, 17)+"!", uint64(aMark))
	f.Add("6b0f3a0012345678-018446744073709551616", uint64(aMark))
	f.Fuzz(func(t *testing.T, text string, mark uint64) {
		seq, ok := findArrival(text, mark)
		again, okAgain := findArrival([]byte(text), mark)
		if seq != again || ok != okAgain {
			t.Fatalf("as text %d, %v; as bytes %d, %v", seq, ok, again, okAgain)
		}
		if ok && !strings.Contains(text, scenario.ArrivalID(mark, seq)) {
			t.Fatalf("%d is not in %q", seq, text)
		}
		if got, ok := findArrival("x"+scenario.ArrivalID(mark, uint64(len(text)))+" "+text, mark); !ok || got != uint64(len(text)) {
			t.Fatalf("%d, %v", got, ok)
		}
	})
}
