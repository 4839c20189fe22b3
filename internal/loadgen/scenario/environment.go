package scenario

import (
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// An Environment is a part of a scenario that goes over the file where it is asked
// for: mappings are merged key by key, lists and plain values are replaced, and a key
// with the value null is taken away. It may have every key of a scenario but version
// and environments.
type Environment struct{}

// ReadEnvironments reads the file at path as it stands and then with each of its
// environments over it, in the order of their names; with o.Environment only that
// one. The error is that of reading the file, or the Problems of all of them.
func ReadEnvironments(path string, o Options) ([]*Scenario, error) {
	src, err := readSource(path)
	if err != nil {
		return nil, err
	}
	s, problems := read(path, src, o)
	all := []*Scenario{s}
	if s != nil && o.Environment == "" {
		for _, name := range slices.Sorted(maps.Keys(s.Environments)) {
			o.Environment = name
			other, more := read(path, src, o)
			all, problems = append(all, other), append(problems, more...)
		}
	}
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return all, nil
}

// environment notes the names of the document's environments in s, and returns the
// document with the chosen one over it and without the others.
func (d *decoder) environment(s *Scenario, chosen string) ast.Node {
	root := d.document.root
	entries, ok := d.entries(root, "", 0)
	if !ok {
		return root
	}
	at := slices.IndexFunc(entries, func(e entry) bool { return e.key == keyEnvironments })
	if at < 0 {
		if chosen != "" {
			d.problem(d.keys[""], keyEnvironments, "no environment %q: the file has none", chosen)
		}
		return root
	}
	d.keys[keyEnvironments] = entries[at].at
	var over ast.Node
	s.Environments = make(map[string]Environment)
	for _, e := range d.mappingAt(entries[at].value, keyEnvironments) {
		path := join(keyEnvironments, e.key)
		d.keys[path] = e.at
		if !nameSyntax.MatchString(e.key) {
			d.problem(e.at, path, "%q: want at most 64 lower-case letters, digits, -, _ and ., beginning with a letter or digit", e.key)
			continue
		}
		s.Environments[e.key] = Environment{}
		for _, inner := range d.mappingAt(e.value, path) {
			if inner.key == "version" || inner.key == keyEnvironments {
				d.problem(inner.at, join(path, inner.key), "an environment has every key of a scenario but version and %s", keyEnvironments)
			}
		}
		if e.key == chosen {
			over = e.value
		}
	}
	if _, known := s.Environments[chosen]; !known && chosen != "" {
		names := slices.Sorted(maps.Keys(s.Environments))
		d.problem(d.keys[keyEnvironments], keyEnvironments, "no environment %q: there are %s", chosen, orNone(names))
	}
	s.Environment = chosen
	rest := slices.Delete(slices.Clone(entries), at, at+1)
	return d.mappingOf(root, d.overlay(rest, over, ""))
}

const keyEnvironments = "environments"

// mappingAt lists what should be a mapping; what is none is a problem.
func (d *decoder) mappingAt(n ast.Node, path string) []entry {
	if isNull(n) {
		d.problem(d.keys[path], path, "no value: give one, or leave the key out")
		return nil
	}
	n, ok := d.resolve(n, path)
	if !ok {
		return nil
	}
	entries, _ := d.entries(n, path, 0)
	return entries
}

// overlay is base with over, which may be nil, over it.
func (d *decoder) overlay(base []entry, over ast.Node, path string) []entry {
	if over == nil {
		return base
	}
	changes := d.mappingAt(over, path)
	all := make([]entry, 0, len(base)+len(changes))
	for _, b := range base {
		at := slices.IndexFunc(changes, func(e entry) bool { return e.key == b.key })
		if at < 0 {
			all = append(all, b)
			continue
		}
		change := changes[at]
		changes = slices.Delete(changes, at, at+1)
		inner := join(path, b.key)
		from, isMapping := d.asMapping(b.value, inner)
		_, toMapping := d.asMapping(change.value, inner)
		switch {
		case isMapping && toMapping:
			entries, _ := d.entries(from, inner, 0)
			all = append(all, entry{b.key, b.at, d.mappingOf(from, d.overlay(entries, change.value, inner)), b.node})
		case !isNull(change.value):
			all = append(all, change)
		}
	}
	for _, change := range changes {
		if !isNull(change.value) {
			all = append(all, change)
		}
	}
	return all
}

// asMapping follows aliases to a mapping; false for anything else.
func (d *decoder) asMapping(n ast.Node, path string) (ast.Node, bool) {
	if n == nil {
		return nil, false
	}
	n, ok := d.resolve(n, path)
	if !ok {
		return nil, false
	}
	_, ok = entriesOf(n)
	return n, ok
}

// isNull reports the value null, which is also what a key without a value has.
func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return null || n == nil
}

// mappingOf is a mapping of entries that stands where like does.
func (d *decoder) mappingOf(like ast.Node, entries []entry) ast.Node {
	values := make([]*ast.MappingValueNode, len(entries))
	for i, e := range entries {
		mv := *e.node
		mv.Value = e.value
		values[i] = &mv
	}
	flow := false
	if m, ok := like.(*ast.MappingNode); ok {
		flow = m.IsFlowStyle
	}
	return ast.Mapping(like.GetToken(), flow, values...)
}
