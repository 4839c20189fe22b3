package scenario

import (
	"strings"
	"testing"
)

func literal(text string) *Literal { l := Literal(text); return &l }

func TestStatus(t *testing.T) {
	for text, want := range map[string]Status{"200": {200, 200}, "2xx": {200, 299}, "599": {599, 599}, "5xx": {500, 599}} {
		var s Status
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "2", "20", "2000", "100", "1xx", "600", "6xx", "2XX", "xx", "2x", " 200", "-200", "2xx,3xx"} {
		var s Status
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "2xx") {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	s := Statuses{{200, 200}, {400, 499}}
	for code, want := range map[int]bool{200: true, 201: false, 399: false, 400: true, 499: true, 500: false} {
		if s.Contains(code) != want {
			t.Errorf("%d in %v: want %v", code, s, want)
		}
	}
}

func TestCheckInWords(t *testing.T) {
	for want, k := range map[string]Check{
		"status 200, 4xx":             {Status: Statuses{{200, 200}, {400, 499}}},
		"fine":                        {Name: "fine", Status: Statuses{{200, 200}}},
		"header X-A":                  {Header: &HeaderCheck{Name: "X-A"}},
		"header X-A absent":           {Header: &HeaderCheck{Name: "X-A", Absent: true}},
		"header X-A equals 5":         {Header: &HeaderCheck{Name: "X-A", Equals: literal("5")}},
		"header Set-Cookie":           {Header: &HeaderCheck{Name: "Set-Cookie"}},
		"header X-Token (left out)":   {Header: &HeaderCheck{Name: "X-Token", Contains: "s3cret"}},
		`json $.a[0] contains "b\"c"`: {JSON: &JSONCheck{Path: JSONPath{Text: "$.a[0]"}, Contains: `b"c`}},
		`body matches "^a"`:           {Body: &BodyCheck{Matches: "^a"}},
	} {
		if k.String() != want {
			t.Errorf("%q, want %q", k.String(), want)
		}
	}
}
