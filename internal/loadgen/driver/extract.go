package driver

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// extracts are the compiled extracts of a workload: values that are taken out of an
// answer for later templates of the same arrival.
type extracts struct {
	all      []extract // by name
	readBody bool      // one of them reads the body
}

// An extract is one value of an answer.
type extract struct {
	name   string
	class  string    // of the failure where it is not there
	header string    // empty: not a header's
	path   *jsonPath // nil: not a value in the body
}

// newExtracts compiles extracts, which the scenario's own checks have passed.
func newExtracts(named map[string]*scenario.Extract) (extracts, error) {
	var out extracts
	for _, name := range slices.Sorted(maps.Keys(named)) {
		from := named[name]
		e := extract{name: name, class: oneLine("extract "+name, maxClass)}
		switch {
		case from == nil:
			return extracts{}, fmt.Errorf("extract %s: looks at nothing", name)
		case from.Header != "":
			e.header = http.CanonicalHeaderKey(from.Header)
		default:
			path, err := newJSONPath(&scenario.JSONCheck{Path: from.JSON})
			if err != nil {
				return extracts{}, fmt.Errorf("extract %s: %w", name, err)
			}
			e.path, out.readBody = path, true
		}
		out.all = append(out.all, e)
	}
	return out, nil
}

// from takes the values out of x's answer. Where one is missing, class and problem
// say which; without extracts there is nothing.
func (e *extracts) from(x *httpExchange) (vars map[string]string, class, problem string) {
	if len(e.all) == 0 {
		return nil, "", ""
	}
	vars = make(map[string]string, len(e.all))
	for i := range e.all {
		value, problem := e.all[i].value(x)
		if problem != "" {
			return nil, e.all[i].class, problem
		}
		vars[e.all[i].name] = value
	}
	return vars, "", ""
}

// value is the first value of the header, or the first that the path leads to; or
// else problem says what is wrong. null is no value.
func (e *extract) value(x *httpExchange) (value, problem string) {
	if e.path == nil {
		if values := x.answer.Header[e.header]; len(values) > 0 {
			return values[0], ""
		}
		return "", "no header " + e.header
	}
	if x.size > len(x.kept) {
		return "", fmt.Sprintf("a body of %d bytes; extracts look at %d at most", x.size, maxChecked)
	}
	root, err := x.parsed()
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "; unparsed tail") // that is shown anyway
		return "", fmt.Sprintf("no JSON: %s: %s", text, x.described())
	}
	first, _ := e.path.lead(root, e.path.steps)
	if first == nil || first.Type() == fastjson.TypeNull {
		return "", e.path.text + " leads to nothing in " + x.described()
	}
	return textOfJSON(first), ""
}

// textOfJSON is text without its quotes, and any other value as JSON.
func textOfJSON(v *fastjson.Value) string {
	if v.Type() == fastjson.TypeString {
		return string(v.GetStringBytes())
	}
	return string(v.MarshalTo(nil))
}
