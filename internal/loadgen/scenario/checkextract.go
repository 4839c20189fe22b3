package scenario

import (
	"regexp"
	"slices"
	"strings"
)

// varPattern is a name that a template can write as {{ .Vars.name }}.
const varPattern = `^[A-Za-z_][A-Za-z0-9_]{0,63}$`

var varSyntax = regexp.MustCompile(varPattern)

// extracts checks what is taken out of the answers to r.
func (c *checker) extracts(at string, r *Request, named map[string]*Extract) {
	for name, e := range named {
		path := join(at, name)
		if !varSyntax.MatchString(name) {
			c.wrongKey(path, "%q: want at most 64 letters, digits and _, the first no digit, as templates name it in {{ .Vars.%s }}", name, "name")
		}
		if e == nil || c.bad[path] {
			continue
		}
		switch header, json := c.given(path+".header"), c.given(path+".json"); {
		case header == json:
			c.wrongKey(path, "want exactly one of header and json")
		case header:
			c.headerName(path+".header", e.Header)
		default:
			c.readable(path+".json", &Workload{Request: r})
		}
	}
}

// headerName reports what is no header's name.
func (c *checker) headerName(path, name string) {
	if c.good(path) && !tokenSyntax.MatchString(name) {
		c.wrong(path, "%q is no header name", name)
	}
}

// correlation checks where a call names what it belongs to; its template sees sample.
func (c *checker) correlation(at string, k *Correlation, sample *Data, runnable bool) {
	if k == nil || c.bad[at] {
		return
	}
	var found []string
	for _, key := range []string{"header", "query", "json"} {
		if c.given(join(at, key)) {
			found = append(found, key)
		}
	}
	if len(found) > 1 {
		c.wrongKey(at, "want at most one of header, query and json, found %s", strings.Join(found, ", "))
	}
	c.headerName(at+".header", k.Header)
	if path := at + ".query"; c.good(path) && k.Query == "" {
		c.wrong(path, "names no parameter")
	}
	path := at + ".id"
	if text, ok := c.template(path, k.ID, sample, runnable); ok && text == "" {
		c.wrong(path, "an empty text names nothing")
	}
}

// sampleVars stand in for what is taken out of an answer.
func sampleVars(named map[string]*Extract) map[string]string {
	vars := make(map[string]string, len(named))
	for name := range named {
		vars[name] = "sample"
	}
	return vars
}

// withPaths is sample with paths in place of what is taken out of an answer.
func withPaths(sample *Data) *Data {
	with := *sample
	with.Vars = make(map[string]string, len(sample.Vars))
	for name, value := range sample.Vars {
		with.Vars[name] = "/" + value
	}
	return &with
}

// varsHint names what is taken out of answers, where a template asked for what is not.
func varsHint(sample *Data) string {
	if len(sample.Vars) == 0 {
		return "; nothing is extracted from an answer before it"
	}
	var names []string
	for name := range sample.Vars {
		names = append(names, name)
	}
	slices.Sort(names)
	return "; extracted: " + strings.Join(names, ", ")
}
