package scenario

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRedacted(t *testing.T) {
	headers := map[string]string{"Authorization": "Bearer s3cret", "apikey": "s3cret", "X-Api-Key": "s3cret", "Cookie": "id=s3cret", "X-Auth-Token": "s3cret", "Accept": "text/plain", "X-Sim-Tokens": "constant:5"}
	s := &Scenario{Name: "x", Target: "http://user:s3cret@127.0.0.1", Workloads: map[string]*Workload{
		"chat": {Request: &Request{Path: "/?room=a&api_key=s3cret&access_token=s3cret&n=1", Headers: headers}},
		"api": {Request: &Request{Path: "/"}, Checks: []Check{
			{Header: &HeaderCheck{Name: "Set-Cookie", Contains: "s3cret"}},
			{Header: &HeaderCheck{Name: "X-Token", Equals: literal("s3cret")}},
			{Header: &HeaderCheck{Name: "X-Token", Matches: "s3cret"}},
			{Header: &HeaderCheck{Name: "Location", Equals: literal("/kept")}},
		}},
		"rooms": {Room: &Room{Path: "/", Headers: headers}},
	}}
	b, err := json.Marshal(s.Redacted())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "s3cret") || strings.Count(string(b), "text/plain") != 2 || strings.Count(string(b), "constant:5") != 2 || strings.Count(string(b), redactedValue) != 15 || !strings.Contains(string(b), "/kept") || !strings.Contains(string(b), "room=a") {
		t.Errorf("redacted: %s", b)
	}
	if s.Workloads["chat"].Request.Headers["apikey"] != "s3cret" || s.Workloads["api"].Checks[0].Header.Contains != "s3cret" {
		t.Error("the original was changed")
	}
}
