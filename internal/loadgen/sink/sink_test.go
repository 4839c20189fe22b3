package sink

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

type recording struct {
	calls  chan Call
	answer Answer
}

func (r *recording) Serve(c *Call) Answer {
	r.calls <- *c
	return r.answer
}

func TestCallsReachTheirHandler(t *testing.T) {
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	h := &recording{calls: make(chan Call, 1), answer: Answer{Status: http.StatusAccepted}}
	remove, err := s.Handle("jobs", h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("jobs", h); err == nil {
		t.Error("a name has two handlers")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func() (int, string) {
		t.Helper()
		resp, err := client.Post(s.URL()+"/jobs/a/b?x=1", "application/json", strings.NewReader(`{"id": 7}`))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, _ := post(); status != http.StatusAccepted {
		t.Errorf("answered %d", status)
	}
	c := <-h.calls
	if c.Method != "POST" || c.Rest != "a/b" || c.Query.Get("x") != "1" || string(c.Body) != `{"id": 7}` || c.Whole.Before(c.First) {
		t.Errorf("call %+v", c)
	}
	remove()
	if status, text := post(); status != http.StatusNotFound || !strings.Contains(text, "/jobs") {
		t.Errorf("without a handler: %d %s", status, text)
	}
}

func TestURLOfASinkOnEveryAddress(t *testing.T) {
	for listen, want := range map[string]string{":0": "http://127.0.0.1:", "0.0.0.0:0": "http://127.0.0.1:", "127.0.0.1:0": "http://127.0.0.1:"} {
		s := opened(t, Options{Listen: listen}, handlerFunc(func(*Call) Answer { return Answer{} }))
		if !strings.HasPrefix(s.URL(), want) {
			t.Errorf("listening on %s it is at %s", listen, s.URL())
		}
		if resp, _ := get(t, s, "/jobs"); resp.StatusCode != http.StatusOK {
			t.Errorf("listening on %s it answers %d", listen, resp.StatusCode)
		}
	}
	if s := opened(t, Options{URL: "http://host:1/"}, handlerFunc(func(*Call) Answer { return Answer{} })); s.URL() != "http://host:1" {
		t.Errorf("it is at %s", s.URL())
	}
}
