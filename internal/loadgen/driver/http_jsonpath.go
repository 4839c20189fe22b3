package driver

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A jsonPath is a compiled check on values within a body.
type jsonPath struct {
	text   string
	steps  []scenario.JSONStep
	equals any // by literalValue, where exact
	exact  bool
	cond   textCondition
	any    bool // no condition: whatever is there
}

func newJSONPath(k *scenario.JSONCheck) (*jsonPath, error) {
	p := &jsonPath{text: k.Path.Text, steps: k.Path.Steps}
	p.any = k.Equals == nil && k.Contains == "" && k.Matches == ""
	if k.Equals != nil {
		p.exact, p.equals = true, literalValue(string(*k.Equals))
	}
	var err error
	p.cond, err = newTextCondition(nil, k.Contains, k.Matches)
	return p, err
}

// literalValue is text as JSON, or, where it is none, text.
func literalValue(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.InputOffset() != int64(len(text)) {
		return text
	}
	return withNumbers(v)
}

// A jsonNumber is a number both ways, so that a whole one is compared exactly.
type jsonNumber struct {
	whole   int64
	isWhole bool
	float   float64
}

// withNumbers makes a jsonNumber of each number in v.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		whole, err := v.Int64()
		float, _ := v.Float64() // beyond the range it is infinite, as the value's will be
		return jsonNumber{whole, err == nil, float}
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withNumbers(v[name])
		}
	}
	return v
}

// is reports whether v is that number.
func (n jsonNumber) is(v *fastjson.Value) bool {
	if v.Type() != fastjson.TypeNumber {
		return false
	}
	if whole, err := v.Int64(); err == nil && n.isWhole {
		return whole == n.whole
	}
	float, err := v.Float64()
	return err == nil && float == n.float
}

// problem says what is wrong with a body that does not satisfy the condition.
func (p *jsonPath) problem(x *httpExchange) string {
	root, err := x.parsed()
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "; unparsed tail") // that is shown anyway
		return fmt.Sprintf("no JSON: %s: %s", text, x.described())
	}
	first, _ := p.lead(root, p.steps)
	if first == nil {
		return p.text + " leads to nothing in " + x.described()
	}
	return fmt.Sprintf("%s is %s", p.text, first)
}

// lead follows steps from v. It answers the first of the values that they lead
// to, nil where there is none, and whether one of them satisfies the condition.
func (p *jsonPath) lead(v *fastjson.Value, steps []scenario.JSONStep) (first *fastjson.Value, found bool) {
	if len(steps) == 0 {
		return v, p.satisfied(v)
	}
	step, rest := steps[0], steps[1:]
	switch v.Type() {
	case fastjson.TypeArray:
		items := v.GetArray()
		if step.All {
			for _, item := range items {
				at, ok := p.lead(item, rest)
				if first == nil {
					first = at
				}
				if ok {
					return first, true
				}
			}
			return first, false
		}
		at := step.Index
		if at < 0 {
			at += len(items)
		}
		if step.InArray && at >= 0 && at < len(items) {
			return p.lead(items[at], rest)
		}
	case fastjson.TypeObject:
		members := v.GetObject()
		if step.All {
			members.Visit(func(_ []byte, member *fastjson.Value) {
				at, ok := p.lead(member, rest)
				if first == nil {
					first = at
				}
				found = found || ok
			})
			return first, found
		}
		if member := members.Get(step.Name); !step.InArray && member != nil {
			return p.lead(member, rest)
		}
	}
	return nil, false
}

// satisfied reports whether one value satisfies the condition.
func (p *jsonPath) satisfied(v *fastjson.Value) bool {
	switch {
	case p.any:
		return true
	case p.exact:
		return sameJSON(v, p.equals)
	}
	return v.Type() == fastjson.TypeString && p.cond.holds(v.GetStringBytes())
}

// sameJSON compares a value with one of literalValue's: numbers by their value,
// objects whatever the order of their members.
func sameJSON(v *fastjson.Value, want any) bool {
	switch want := want.(type) {
	case nil:
		return v.Type() == fastjson.TypeNull
	case bool:
		b, err := v.Bool()
		return err == nil && b == want
	case string:
		b, err := v.StringBytes()
		return err == nil && string(b) == want
	case jsonNumber:
		return want.is(v)
	case []any:
		items, err := v.Array()
		if err != nil || len(items) != len(want) {
			return false
		}
		for i, item := range items {
			if !sameJSON(item, want[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		members, err := v.Object()
		if err != nil || members.Len() != len(want) {
			return false
		}
		for name, value := range want {
			if member := members.Get(name); member == nil || !sameJSON(member, value) {
				return false
			}
		}
		return true
	}
	return false
}
