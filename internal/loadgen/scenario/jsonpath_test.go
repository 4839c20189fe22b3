package scenario

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJSONPath(t *testing.T) {
	name := func(s string) JSONStep { return JSONStep{Name: s} }
	at := func(i int) JSONStep { return JSONStep{InArray: true, Index: i} }
	all := JSONStep{All: true}
	for text, want := range map[string][]JSONStep{
		"$":                      nil,
		"$.a":                    {name("a")},
		"$.a.b_1.ü":              {name("a"), name("b_1"), name("ü")},
		"$[0][-1][ 12 ]":         {at(0), at(-1), at(12)},
		"$.*[*]":                 {all, all},
		`$['a b']["c'd"]`:        {name("a b"), name("c'd")},
		`$['it\'s']["\"\\\/"]`:   {name("it's"), name(`"\/`)},
		`$['\b\f\n\r\t\u00e9']`:  {name("\b\f\n\r\té")},
		`$["\uD83D\ude00"]`:      {name("😀")},
		"$['']":                  {name("")},
		"$.items[0]['id'].*.x":   {name("items"), at(0), name("id"), all, name("x")},
		"$[9007199254740991].a1": {at(9007199254740991), name("a1")},
	} {
		p, err := ParseJSONPath(text)
		if err != nil || p.Text != text || !cmp.Equal(p.Steps, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, p.Steps, err, want)
		}
	}
	for _, text := range []string{
		"", "a", ".a", "$a", "$.", "$..a", "$.1a", "$.a-b", "$.a b", "$[", "$[]", "$[a]", "$['a'", "$['a]", `$["a']`, "$[01]", "$[-0]", "$[1.5]", "$[99999999999999999]",
		"$[0:2]", "$[0,1]", "$[?@.a]", "$['a','b']", `$['\x']`, `$['\u12']`, `$['\ud800']`, `$['\ud800\u0041']`, `$['\udc00']`, `$["\'"]`, "$['\x01']", "$\xff", " $", "$ ", "$" + strings.Repeat(".a", 101),
	} {
		if p, err := ParseJSONPath(text); err == nil || !strings.Contains(err.Error(), "$") {
			t.Errorf("%q was taken as %+v, %v", text, p.Steps, err)
		}
	}
}

func FuzzJSONPath(f *testing.F) {
	for _, seed := range []string{"$", "$.a[0]['b'].*", `$["\uD83D\ude00\n"][-1]`, "$..a", "$['"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseJSONPath(text)
		if err != nil {
			return
		}
		if p.Text != text || len(p.Steps) > maxJSONSteps || len(p.Steps) > len(text) {
			t.Errorf("%q gives %+v", text, p)
		}
		for _, s := range p.Steps {
			if s.InArray && s.Name != "" || s.All && (s.InArray || s.Name != "") || !s.InArray && s.Index != 0 {
				t.Errorf("%q has the step %+v", text, s)
			}
		}
	})
}
