package scenario

import (
	"encoding"
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml/ast"
)

// A decoder fills a Scenario from a document and reports everything that does
// not fit, where goccy's own strict decoding would stop at the first. It
// remembers where each value stood for the checks that come after.
type decoder struct {
	*document
	env      func(string) (string, bool)
	anchors  map[string]ast.Node
	values   map[string]place  // where the value of each path stands
	keys     map[string]place  // where its key stands
	bad      map[string]bool   // paths whose value could not be taken
	texts    map[string]string // text of each path as it stands in the file
	replaced map[string]bool   // paths whose value an option replaces: not read
	visits   int               // mappings gone through, which aliases can multiply
	problems Problems
}

func newDecoder(doc *document, o Options) *decoder {
	d := &decoder{
		document: doc,
		env:      o.Env,
		anchors:  make(map[string]ast.Node),
		values:   make(map[string]place),
		keys:     make(map[string]place),
		bad:      make(map[string]bool),
		texts:    make(map[string]string),
		replaced: map[string]bool{"target": o.Target != "", "duration": o.Duration > 0},
	}
	ast.Walk(anchorsOf(d.anchors), doc.root)
	return d
}

// anchorsOf gathers the values of anchors by name.
type anchorsOf map[string]ast.Node

func (a anchorsOf) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok && anchor.Name != nil {
		a[anchor.Name.String()] = anchor.Value
	}
	return a
}

// root decodes the document with an environment over it; "" for none.
func (d *decoder) root(s *Scenario, environment string) {
	d.keys[""] = placeOf(d.document.root)
	d.value(d.environment(s, environment), reflect.ValueOf(s).Elem(), "")
}

// problem reports what is wrong with the value at path, at p.
func (d *decoder) problem(p place, path, format string, args ...any) {
	d.bad[path] = true
	d.problems = append(d.problems, d.at(p, path, fmt.Sprintf(format, args...)))
}

// value decodes n into v.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	if n == nil {
		d.problem(d.keys[path], path, "no value: give one, or leave the key out")
		return
	}
	at := placeOf(n)
	d.values[path] = at
	n, ok := d.resolve(n, path)
	if !ok {
		return
	}
	if _, null := n.(*ast.NullNode); null {
		d.problem(d.keys[path], path, "no value: give one, or leave the key out")
		return
	}
	switch {
	case isScalar(v):
		d.scalar(n, at, v, path)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path)
	default:
		d.mapping(n, v, path)
	}
}

// isScalar reports whether v is written as one scalar.
func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Map, reflect.Slice:
		return false
	}
	return true
}

// resolve follows anchors and aliases to the node that is meant.
func (d *decoder) resolve(n ast.Node, path string) (ast.Node, bool) {
	for range 20 {
		switch node := n.(type) {
		case *ast.AnchorNode:
			n = node.Value
		case *ast.AliasNode:
			name := node.Value.String()
			target, ok := d.anchors[name]
			if !ok || target == nil {
				d.problem(placeOf(node), path, "no anchor &%s for this alias", name)
				return nil, false
			}
			n = target
		case *ast.TagNode:
			d.problem(placeOf(node), path, "the tag %s; a scenario uses none", node.Start.Value)
			return nil, false
		case nil:
			d.problem(d.keys[path], path, "no value: give one, or leave the key out")
			return nil, false
		default:
			return n, true
		}
	}
	d.problem(placeOf(n), path, "an alias that leads back to itself")
	return nil, false
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) {
	var items []ast.Node
	switch seq, ok := n.(*ast.SequenceNode); {
	case ok:
		items = seq.Values
	case v.Type() == reflect.TypeFor[Statuses](): // one may stand without brackets
		items = []ast.Node{n}
	default:
		d.problem(placeOf(n), path, "want a list, found %s", describe(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.keys[at] = placeOf(n)
		if item != nil {
			d.keys[at] = placeOf(item)
		}
		d.value(item, list.Index(i), at)
	}
	v.Set(list)
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n, path, 0)
	if !ok {
		return
	}
	if v.Kind() == reflect.Map {
		d.fillMap(entries, v, path)
		return
	}
	fields := fieldsOf(v.Type())
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	seen := make(map[string]bool)
	for _, e := range entries {
		at := join(path, e.key)
		f, known := fields[e.key]
		if !known {
			d.problem(e.at, at, "unknown key%s", suggest(e.key, names))
			continue
		}
		seen[e.key] = true
		d.keys[at] = e.at
		if d.replaced[at] {
			d.values[at] = e.at
			continue
		}
		d.value(e.value, v.Field(f.index), at)
	}
	for name, f := range fields {
		if f.required && !seen[name] && !d.replaced[join(path, name)] {
			d.problem(d.keys[path], join(path, name), "this key is required")
		}
	}
}

func (d *decoder) fillMap(entries []entry, v reflect.Value, path string) {
	m := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		at := join(path, e.key)
		d.keys[at] = e.at
		item := reflect.New(v.Type().Elem()).Elem()
		if item.Kind() == reflect.String {
			d.looseText(e.value, item, at)
		} else {
			d.value(e.value, item, at)
		}
		m.SetMapIndex(reflect.ValueOf(e.key), item)
	}
	v.Set(m)
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
