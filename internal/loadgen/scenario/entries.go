package scenario

import "github.com/goccy/go-yaml/ast"

// An entry is one key of a mapping with its value.
type entry struct {
	key   string
	at    place
	value ast.Node
	node  *ast.MappingValueNode // of both
}

// maxVisits bounds the work that aliases of aliases can ask for.
const maxVisits = 10000

// entries lists a mapping's keys, those of merged mappings (<<) after its own
// and only where it has none of that name. A key given twice is a problem.
func (d *decoder) entries(n ast.Node, path string, depth int) ([]entry, bool) {
	values, ok := entriesOf(n)
	if !ok {
		d.problem(placeOf(n), path, "want keys and values, found %s", describe(n))
		return nil, false
	}
	if d.visits++; d.visits > maxVisits || depth > 20 {
		if d.visits <= maxVisits+1 {
			d.problem(placeOf(n), path, "aliases within aliases without end")
		}
		return nil, false
	}
	var own, merged []entry
	first := make(map[string]place)
	for _, mv := range values {
		at := placeOfToken(mv.Key.GetToken())
		if mv.Key.IsMergeKey() {
			merged = append(merged, d.merged(mv.Value, path, depth)...)
			continue
		}
		key, ok := keyText(mv.Key)
		if !ok {
			d.problem(at, path, "a key that is no plain word")
			continue
		}
		if before, twice := first[key]; twice {
			d.problem(at, join(path, key), "this key is already given on line %d", before.line)
			continue
		}
		first[key] = at
		own = append(own, entry{key, at, mv.Value, mv})
	}
	for _, e := range merged {
		if _, given := first[e.key]; !given {
			first[e.key] = e.at
			own = append(own, e)
		}
	}
	return own, true
}

// merged lists the entries of what stands behind <<: a mapping or a list of them.
func (d *decoder) merged(n ast.Node, path string, depth int) []entry {
	n, ok := d.resolve(n, path)
	if !ok {
		return nil
	}
	nodes := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		nodes = seq.Values
	}
	var all []entry
	for _, n := range nodes {
		if n, ok := d.resolve(n, path); ok {
			entries, _ := d.entries(n, path, depth+1)
			all = append(all, entries...)
		}
	}
	return all
}

func keyText(key ast.MapKeyNode) (string, bool) {
	switch k := key.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return k.GetToken().Value, true
	}
	return "", false
}
