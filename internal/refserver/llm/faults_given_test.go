package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/edgeload/edgeload/internal/wire"
)

func completionsRequest(ctx context.Context, stream bool, more string) *http.Request {
	body := fmt.Sprintf(`{"model":"gpt-5-mini","stream":%t,%s"messages":[{"role":"user","content":"How late is it?"}]}`, stream, more)
	return httptest.NewRequest(http.MethodPost, wire.PathCompletions, strings.NewReader(body)).WithContext(ctx)
}

// ask answers one request with faults, and tells whether the answer was cut.
func ask(s *Simulator, r *http.Request, faults string) (rec *recorder, cut bool) {
	if faults != "" {
		r.Header.Set(wire.HeaderSimFault, faults)
	}
	rec = newRecorder()
	defer func() {
		if err, ok := recover().(error); ok && errors.Is(err, http.ErrAbortHandler) {
			cut = true
		}
	}()
	s.ServeHTTP(rec, r)
	return rec, false
}

// Each fault does what it says, at its instant, and is counted, in either form.
func TestFaultsAreGiven(t *testing.T) {
	for _, tc := range []struct {
		faults    string
		outcome   Outcome
		given     map[FaultKind]uint64
		tokens    int // deltas with text that came
		took      time.Duration
		anthropic []string // what the body must hold
		openAI    []string
		ends      bool // with message_stop, [DONE]
	}{
		{"none", OutcomeComplete, nil, 10, 190 * time.Millisecond, nil, nil, true},
		{"cut@4", OutcomeCut, map[FaultKind]uint64{FaultCut: 1}, 4, 130 * time.Millisecond, nil, nil, false},
		{"cut@0", OutcomeCut, map[FaultKind]uint64{FaultCut: 1}, 0, 0, nil, nil, false},
		{"cut@11", OutcomeComplete, nil, 10, 190 * time.Millisecond, nil, nil, true},
		{"truncate@4", OutcomeTruncated, map[FaultKind]uint64{FaultTruncate: 1}, 4, 130 * time.Millisecond, nil, nil, false},
		{"error-event@4", OutcomeErrorEvent, map[FaultKind]uint64{FaultErrorEvent: 1}, 4, 130 * time.Millisecond,
			[]string{"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"},
			[]string{"data: {\"error\":{\"message\":", "\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n"}, false},
		{"error-event@4,api_error", OutcomeErrorEvent, map[FaultKind]uint64{FaultErrorEvent: 1}, 4, 130 * time.Millisecond,
			[]string{`"type":"api_error"`}, []string{`"type":"api_error"`}, false},
		{"stall@4,1s", OutcomeComplete, map[FaultKind]uint64{FaultStall: 1}, 10, 1190 * time.Millisecond, nil, nil, true},
		{"stall@10,1s", OutcomeComplete, map[FaultKind]uint64{FaultStall: 1}, 10, 1190 * time.Millisecond, nil, nil, true},
		{"malformed@4;malformed@5", OutcomeComplete, map[FaultKind]uint64{FaultMalformed: 2}, 10, 190 * time.Millisecond,
			[]string{"text_del\n\n"}, []string{"chat.completion.ch\n\n"}, true},
		{"empty@4", OutcomeComplete, map[FaultKind]uint64{FaultEmpty: 1}, 10, 190 * time.Millisecond,
			[]string{`"text_delta","text":""}`}, []string{`"delta":{"content":""}`}, true},
		{"reasoning:5", OutcomeComplete, map[FaultKind]uint64{FaultReasoning: 1}, 10, 240 * time.Millisecond,
			[]string{`{"type":"thinking_delta","thinking":"the"}`, `{"type":"signature_delta",`, `{"type":"content_block_stop","index":0}`, `{"type":"content_block_start","index":1,`, `"index":1,"delta":{"type":"text_delta","text":"the"}`, `{"type":"content_block_stop","index":1}`, `"output_tokens":15}`},
			[]string{`"delta":{"reasoning_content":"the"}`, `"delta":{"content":"the"}`}, true},
		{"role-only", OutcomeComplete, map[FaultKind]uint64{FaultRoleOnly: 1}, 10, 190 * time.Millisecond,
			[]string{`"text_delta","text":""}`}, []string{`"delta":{"role":"assistant","content":"","refusal":null}`}, true},
		{"role-only:off", OutcomeComplete, map[FaultKind]uint64{FaultRoleOnly: 1}, 10, 190 * time.Millisecond,
			nil, []string{`"delta":{"role":"assistant","content":"the"}`}, true},
		{"ping:30ms;stall@2,60ms", OutcomeComplete, map[FaultKind]uint64{FaultPing: 1, FaultStall: 1}, 10, 250 * time.Millisecond,
			[]string{"event: ping\ndata: {\"type\": \"ping\"}\n\n"}, []string{": keep-alive\n\n"}, true},
	} {
		for _, api := range []API{Anthropic, OpenAI} {
			t.Run(tc.faults+"/"+api.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSimulator(t, "constant:100ms", "constant:10ms", "constant:10", "constant:1")
					r, want, end := messagesRequest(t.Context(), true, 1024), tc.anthropic, "message_stop\"}\n\n"
					if api == OpenAI {
						r, want, end = completionsRequest(t.Context(), true, ""), tc.openAI, "data: [DONE]\n\n"
					}
					start := time.Now()
					rec, cut := ask(s, r, tc.faults)
					body := rec.body()
					if took := time.Since(start); took != tc.took || cut != (tc.outcome == OutcomeCut) {
						t.Errorf("took %v, cut %t; want %v", took, cut, tc.took)
					}
					if got := texts(t, body); len(strings.Fields(got)) != tc.tokens {
						t.Errorf("text %q, want %d words", got, tc.tokens)
					}
					for _, part := range want {
						if !strings.Contains(body, part) {
							t.Errorf("no %q in\n%s", part, body)
						}
					}
					if strings.HasSuffix(body, end) != tc.ends {
						t.Errorf("ends %t:\n%s", !tc.ends, body)
					}
					stats := s.Stats()
					if stats.Requests[tc.outcome] != 1 || stats.InFlight != 0 {
						t.Errorf("stats %+v, want one %s", stats, tc.outcome)
					}
					for _, kind := range faultKinds {
						if stats.Given[kind] != tc.given[kind] {
							t.Errorf("%s counted %d times, want %d", kind, stats.Given[kind], tc.given[kind])
						}
					}
				})
			})
		}
	}
}

// texts joins the text of an answer's deltas, reasoning not included.
func texts(t *testing.T, body string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(body) {
		data, ok := strings.CutPrefix(line, "data: {")
		if !ok {
			continue
		}
		var event struct {
			Delta   struct{ Text string }
			Choices []struct{ Delta struct{ Content string } }
		}
		if json.Unmarshal([]byte("{"+data), &event) != nil {
			continue // malformed on purpose
		}
		b.WriteString(event.Delta.Text)
		for _, c := range event.Choices {
			b.WriteString(c.Delta.Content)
		}
	}
	return b.String()
}

// Every event leaves in two writes, one of them in the middle of a character, and
// joined they are the event.
func TestSplitCutsCharacters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:0s", "constant:10ms", "constant:40", "constant:1")
		rec, _ := ask(s, messagesRequest(t.Context(), true, 1024), "split")
		within := 0
		for i, w := range rec.writes {
			if !w.flushed {
				t.Errorf("write %d is not flushed", i)
			}
			if !utf8.ValidString(w.text) {
				within++
			}
		}
		if within != 2*40 || len(rec.writes) != 2*46 || !utf8.ValidString(rec.body()) {
			t.Errorf("%d writes, %d of them end or begin within a character", len(rec.writes), within)
		}
	})
}

func TestAccentedWordsAreNotASCII(t *testing.T) {
	for _, word := range strings.Fields(accented) {
		if len(word) == utf8.RuneCountInString(word) {
			t.Errorf("%q is ASCII", word)
		}
	}
}

// The switch holds for all requests, a header instead of it, and "none" too.
func TestSwitchAndHeader(t *testing.T) {
	s := newSimulator(t, "constant:0s", "constant:0s", "constant:1", "constant:1")
	faults, err := ParseFaults("status:429,retry-after:1500ms#2")
	if err != nil {
		t.Fatal(err)
	}
	s.SetFaults(faults)
	if s.Faults().String() != faults.String() {
		t.Errorf("set %s, is %s", faults, s.Faults())
	}
	for i, tc := range []struct {
		header string
		status int
	}{{"", 429}, {"none", 200}, {"status:503", 503}, {"", 429}, {"", 200}, {"cut@1#1", 400}, {"nonsense", 400}} {
		rec, _ := ask(s, messagesRequest(t.Context(), true, 1024), tc.header)
		if rec.status != tc.status {
			t.Errorf("request %d with %q: %d, want %d: %s", i, tc.header, rec.status, tc.status, rec.body())
		}
		if tc.status == 429 && (rec.header.Get("Retry-After") != "2" || rec.header.Get("Retry-After-Ms") != "1500") {
			t.Errorf("header %v", rec.header)
		}
	}
	if stats := s.Stats(); stats.Given[FaultStatus] != 3 || stats.Requests[OutcomeError] != 5 || stats.Requests[OutcomeComplete] != 2 {
		t.Errorf("%+v", stats)
	}
}

// Faults change nothing in the timing of an answer.
func TestFaultsLeaveTheDrawsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "uniform:0s,1s", "uniform:0s,100ms", "constant:20", "constant:1")
		took := func(faults string) time.Duration {
			r := messagesRequest(t.Context(), true, 1024)
			r.Header.Set(wire.HeaderSimSeed, "5")
			start := time.Now()
			ask(s, r, faults)
			return time.Since(start)
		}
		if plain, faulty := took("none"), took("empty@3~0.5;malformed@4~0.999"); plain != faulty {
			t.Errorf("%v and with faults %v", plain, faulty)
		}
	})
}

// A whole answer meets faults as far as they make sense.
func TestFaultsOfWholeAnswers(t *testing.T) {
	for faults, want := range map[string]struct {
		status int
		valid  bool // JSON
		cut    bool
		took   time.Duration
	}{
		"none":                    {200, true, false, 190 * time.Millisecond},
		"reasoning:5":             {200, true, false, 240 * time.Millisecond},
		"stall@3,1s":              {200, true, false, 1190 * time.Millisecond},
		"cut@4":                   {0, false, true, 130 * time.Millisecond},
		"error-event@4":           {529, true, false, 130 * time.Millisecond},
		"error-event@4,api_error": {500, true, false, 130 * time.Millisecond},
		"truncate@4":              {200, false, false, 190 * time.Millisecond},
		"malformed@4":             {200, false, false, 190 * time.Millisecond},
	} {
		t.Run(faults, func(t *testing.T) {
			for _, api := range []API{Anthropic, OpenAI} {
				synctest.Test(t, func(t *testing.T) {
					s := newSimulator(t, "constant:100ms", "constant:10ms", "constant:10", "constant:1")
					r := messagesRequest(t.Context(), false, 1024)
					if api == OpenAI {
						r = completionsRequest(t.Context(), false, "")
					}
					start := time.Now()
					rec, cut := ask(s, r, faults)
					if rec.status == 0 && len(rec.writes) > 0 {
						rec.status = http.StatusOK
					}
					if took := time.Since(start); took != want.took || cut != want.cut || rec.status != want.status || json.Valid([]byte(rec.body())) != want.valid {
						t.Errorf("%v: %d after %v, cut %t, want %+v\n%s", api, rec.status, took, cut, want, rec.body())
					}
				})
			}
		})
	}
}
